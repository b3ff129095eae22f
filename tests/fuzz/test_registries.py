"""Any answer of a registry: records that become entries or are skipped, or RegistryError; and a scan that goes on."""

import json
from contextlib import AsyncExitStack
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.entry import Entry
from junctor.gateway.serving.connector import Connector, Registry
from junctor.registry.client import RegistryClient
from junctor.registry.errors import RegistryError
from junctor.registry.fetch import Answer
from junctor.registry.records import OFFICIAL_META
from junctor.registry.scan import RegistryScan, ScanAborted
from tests.support.fuzzing import mutated, replays, values
from tests.unit.gateway.maps import registry
from tests.unit.registry.building import raw, remote, rules

VARIABLE = {"description": "d", "isRequired": True, "isSecret": True, "default": "x", "choices": ["x", "y"], "format": "string"}
HEADERS = [{"name": "X-Key", "value": "Bearer {token}", "variables": {"token": VARIABLE}, "isRequired": True, "isSecret": True}]
RECORDS: list[dict[str, Any]] = [
    raw(),
    raw(remote("https://{tenant}.acme.com/mcp", variables={"tenant": VARIABLE}, headers=HEADERS)),
    raw(remote(type="sse"), name="com.acme/old", status="deprecated", websiteUrl="https://acme.com", icons=[{"src": "https://a/i.png"}]),
    raw(meta={"status": "deleted", "publishedAt": "2025-10-17T12:00:00.123456789Z", "isLatest": False}, name="com.acme/gone"),
    {
        "name": "com.acme/flat",
        "version_detail": {"version": "1.0.0", "is_latest": True},
        "remotes": [{"transport_type": "sse", "url": "https://a/b"}],
    },
]
NAMES = [
    "server",
    "_meta",
    OFFICIAL_META,
    *RECORDS[1]["server"],
    *RECORDS[1]["_meta"][OFFICIAL_META],
    *VARIABLE,
    *HEADERS[0],
    "servers",
    "metadata",
]
LEAVES = [
    "https://a.example/mcp",
    "streamable-http",
    "sse",
    "io.github.acme/weather",
    "1.0.0",
    "9" * 300,
    "deleted",
    1e300,
    -1,
    "{x}",
    "\ud800",
]
LISTS = [[], RECORDS, RECORDS[:1], RECORDS[1:2], RECORDS[2:3]]
SEEDS = [json.dumps({"servers": records, "metadata": {"nextCursor": "c", "count": 1}}).encode() for records in LISTS]
shaken = st.builds(
    lambda record, changes: json.dumps({"servers": [{**record, "server": {**record.get("server", record), **changes}}]}).encode(),
    st.sampled_from(RECORDS),
    st.dictionaries(st.sampled_from(NAMES), values(NAMES, LEAVES), min_size=1, max_size=4),
)
ACME = rules(credentials=[{"servers": ["*"], "hosts": ["*.acme.com"], "variables": [{"name": "token", "value": "v"}]}])


class Fetched:
    """Answers with one body."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def get(self, url: str, _: AsyncExitStack) -> Answer:
        headers = httpx.Headers({"content-type": "application/json", "date": "x"})
        return Answer(url, 200, headers, self.body, "", len(self.body))

    async def close(self) -> None:
        pass


@replays("registry-pages")
@given(data=mutated(SEEDS) | shaken)
async def test_any_page_is_records_or_an_error(data: bytes) -> None:
    async with RegistryClient("https://registry.example.com", retries=0) as client:
        await client._fetcher.close()
        client._fetcher = Fetched(data)  # type: ignore[assignment]  # the network is no part of this
        try:
            page = await client.page()
            await client.versions("a/b")
        except RegistryError as error:
            str(error).encode()
            return
    scan = RegistryScan(ACME, {})
    try:
        for _ in range(2):
            scan.add_page(page.records, page.next_cursor)
    except ScanAborted:
        pass
    shared = Registry.of(Entry.of(registry()))
    for _, entry in scan.entries():
        assert Entry.parse(entry.line) == entry
        assert not Connector.of(entry, shared).rejected
