"""Whatever a registry sends, a record becomes an entry or is refused with a reason; nothing else happens, and nothing takes for ever."""

import copy
import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.entry import Entry
from junctor.net.addresses import private_host
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import OFFICIAL_META, InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from tests.support.entries import content_of
from tests.support.registry_data import DIRTY, Row, servers
from tests.unit.registry.building import credentials, plain, raw, ref, remote, rules, secret

RULES = [
    rules(),
    rules(allowInsecureURLs=True, allowPrivateAddresses=True, filter={"search": "e", "transports": ["sse"]}),
    rules(
        credentials=[
            credentials(plain("tenant", "blue"), secret("token"), secret("X-Key"), headers=[{"name": "X-Own", "valueFrom": ref("own")}])
        ]
    ),
]

GOOD = [
    raw(title="Weather"),
    raw(
        remote(
            "https://{tenant}.acme.com/{path}",
            variables={"tenant": {"isRequired": True, "choices": ["blue", "green"]}, "path": {"default": "mcp"}},
            headers=[
                {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isSecret": True, "isRequired": True}}},
                {"name": "X-Key", "isSecret": True},
                {"name": "X-Team", "default": "a", "choices": ["a", "b"]},
            ],
        ),
        {"type": "sse", "url": "https://mcp.acme.com/sse"},
    ),
    raw()["server"] | {"version_detail": {"version": "1.0.0"}},
]

#: Text that means something somewhere, and any other, halves of surrogate pairs included.
TEXTS = st.sampled_from(
    ["", "{", "}", "{a}", "{tenant}", "{token}", "{}{", "https://", "https://[", "https://[::1]:0x", "https://a:99999999999999999999",
     "\x00", "\ud800", "Bearer {token}", "Host", "active", "deleted", "streamable-http", "sse", "io.github.acme/weather",
     "1.0.0-0.a+b", "9" * 400, "$ref"]
) | st.text(st.characters(), max_size=40)  # fmt: skip
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**4000, -(10**4000)])
#: JSON as Python reads it. The keys are those of records, and others.
KEYS = st.sampled_from(
    ["server", "_meta", OFFICIAL_META, "name", "version", "version_detail", "title", "description", "status", "remotes", "packages",
     "type", "url", "transport_type", "headers", "variables", "value", "default", "choices", "isRequired", "is_secret", "publishedAt",
     "$ref", "tenant"]
) | TEXTS  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=20,
)


def judged(record: Any, chosen: MappingRules) -> Entry | Skipped | InvalidRecord:
    """What becomes of a record; fails for what cannot be stored."""
    found: Entry | Skipped | InvalidRecord
    try:
        found = map_server(ServerRecord.parse(record), chosen)
    except InvalidRecord as invalid:
        found = invalid
    if isinstance(found, InvalidRecord):
        assert len(found.name) <= 1000
        assert len(str(found)) <= 1000
        assert found.name.isprintable()
        json.dumps([found.name, str(found)], ensure_ascii=False).encode()
    elif isinstance(found, Entry):
        assert Entry.parse(found.line).digest == found.digest
        assert content_of(found)["id"].startswith("mcp::internal::")
        found.line.decode()
    else:
        assert len(found.detail) <= 1000
        assert found.detail.isprintable()
    return found


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a JSON value, as container and key."""
    items = list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [place for key, inner in items for place in ((value, key), *places(inner))]


@given(VALUES, st.sampled_from(RULES))
def test_any_json_is_judged(value: Any, chosen: MappingRules) -> None:
    judged(value, chosen)


@given(st.data(), st.sampled_from(GOOD), st.sampled_from(RULES))
def test_any_change_of_a_good_record_is_judged(data: st.DataObject, good: Any, chosen: MappingRules) -> None:
    record = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(record)))
        if data.draw(st.booleans()):
            container[key] = data.draw(VALUES)
        elif isinstance(container, dict):
            container[data.draw(KEYS)] = container.pop(key)
        else:
            container.append(copy.deepcopy(container[key]))
        if not places(record):
            break
    judged(record, chosen)


@pytest.mark.parametrize("row", [pytest.param(row, id=why) for why, row in DIRTY.items()])
def test_records_that_registries_should_not_hold(row: Row) -> None:
    found = judged(row.value, rules())
    assert reason_of(found) == row.outcome


def test_a_realistic_registry_is_judged_as_expected() -> None:
    rows = servers(2000)
    assert [(row.name, row.version, reason_of(judged(row.value, rules()))) for row in rows] == [
        (row.name, row.version, row.outcome) for row in rows
    ]


def reason_of(found: Entry | Skipped | InvalidRecord) -> str | None:
    """Why a record is not published; None when it is."""
    if isinstance(found, InvalidRecord):
        return "InvalidRecord"
    return found.reason if isinstance(found, Skipped) else None


@pytest.mark.parametrize("unit", ["a", "{", "}", "{a}", "{a", "https://", "[", ":", "@", ".", "\\", "/", "%", "\u00e9", "\x00", "-", "0"])
def test_a_megabyte_anywhere_is_answered(unit: str) -> None:
    endless = unit * (1_000_000 // len(unit))
    for good in GOOD:
        for number in range(len(places(good))):
            record = copy.deepcopy(good)
            container, key = places(record)[number]
            container[key] = endless
            judged(record, RULES[2])


@pytest.mark.parametrize("unit", ["a", "{", "}", "{tenant}", "{a", "{token}", "@", ".", "a.", "{tenant", "\u00e9"])
def test_the_longest_texts_that_are_read_are_answered(unit: str) -> None:
    """Up to the caps of a record, nothing is refused by its length alone: every expression sees these."""
    url, value = "https://" + unit * (2000 // len(unit)), unit * (4096 // len(unit))
    headers = [{"name": f"X-{n}", "value": value, "variables": {"a": {"default": value}}} for n in range(64)]
    variables = {"tenant": {"default": value}, "a": {"default": "{a}"}}
    record = raw(*[remote(url, headers=headers, variables=variables)] * 32, title=unit * 20, description=value)
    for chosen in RULES:
        judged(record, chosen)


PIECES = [
    "a.acme.com",
    "A.acme.com.",
    "8.8.8.8",
    "[2606:4700::1111]",
    "10.0.0.1",
    "localhost",
    "[::1]",
    "x",
    "",
    *"@:/?#.\\%[]",
    ":443",
    "%40",
    "\t",
    "\u3002",
]


@given(st.lists(st.sampled_from(PIECES), max_size=5).map("".join))
def test_the_host_that_was_judged_is_the_one_that_is_called(rest: str) -> None:
    record = raw(remote(f"https://{rest}"))
    if isinstance(judged(record, RULES[0]), Entry):
        called = httpx2.URL(f"https://{rest}")
        assert not called.userinfo
        assert private_host(called.host) == ""
        entry = credentials(auth={"bearer": ref("token")}, hosts=[called.host])
        assert isinstance(judged(record, rules(credentials=[entry])), Entry)
