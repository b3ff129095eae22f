"""Any head and any shard: a map, or its documented error; and a catalog of whatever was accepted."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.digests import digest_lines, revision_of, sha256
from junctor.connectormap.errors import MapMoved, MapUnreadable
from junctor.connectormap.head import Head, ShardRef, installation_of
from junctor.connectormap.layout import Layout
from junctor.connectormap.reader import parse_shard, read_layout
from junctor.gateway.catalog.routes import public_app
from junctor.gateway.serving.directory import ConnectorDirectory
from junctor.gateway.serving.map_loader import MapLoader, ReloadError
from junctor.gateway.serving.sources.file import FileSource
from tests.support.fuzzing import mutated, replays
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, discovered, head_of, layout_of, registry

GOLDEN = Path(__file__).parents[1] / "unit" / "golden"
RICH = content(
    "b",
    title="B",
    description="d",
    auth=bearer("3f7a000000000000.1b2c000000000000"),
    headers=[{"name": "X-A", "value": "v"}],
    tools={"allowed": ["a"], "denied": ["b"], "readOnly": True},
    approval={"mode": "Always", "tools": ["a"]},
    access=[{"kind": "Group", "name": "g"}],
    hosts=["*.example.com"],
    requires=["access/1"],
    deprecated=True,
)
SINGLE = [layout_of(item) for item in (content("a"), RICH, registry())]
LAYOUTS = [*SINGLE, layout_of(content("a"), RICH, registry(), discovered(), discovered("com.acme/x", reason="Deprecated", available=False))]
SHARDS = [shard.text.encode() for layout in LAYOUTS for shard in layout.shards.values()]
HEADS = [head_of(layout, 1).to_text().encode() for layout in LAYOUTS]
FILES = [path.read_bytes() for path in sorted(GOLDEN.glob("*/want.yaml"))]


async def catalog(loader: MapLoader) -> None:
    """Ask for all that a caller can see of the map."""

    async def bind(_: Any) -> Any:
        raise AssertionError("nobody asks for tools")

    transport = httpx.ASGITransport(public_app(ConnectorDirectory(loader.served), bind))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway/v1/") as http:
        listed = await http.get("connectors")
        assert listed.status_code in (200, 503)
        for item in listed.json().get("data", []):
            assert (await http.get(f"connectors/{item['id']}")).status_code in (200, 404)
        assert (await http.get("connectors/none")).status_code in (404, 503)


def text_of(data: bytes) -> str:
    """A text as an API server's JSON may give it, halves of surrogate pairs included."""
    try:
        return data.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode(errors="replace")


async def load(source: Any) -> None:
    loader, refused = MapLoader(source), ""
    try:
        await loader.reload(1)
    except ReloadError as error:
        refused = str(error)
    assert not refused.startswith("unexpected ")
    await catalog(loader)


@replays("heads")
@given(data=mutated(HEADS) | st.binary(max_size=60))
async def test_any_head_is_a_head_or_unreadable(data: bytes) -> None:
    text = text_of(data)
    installation_of(text)
    try:
        head = Head.parse(text, MAP)
    except MapUnreadable:
        return
    assert Head.parse(head.to_text(), MAP) == head
    await load(MemorySource({MAP: text, **{shard.ref.name: shard.text for shard in LAYOUTS[0].shards.values()}}))


@replays("shards")
@given(data=mutated(SHARDS) | st.binary(max_size=60))
async def test_any_shard_is_read_or_unreadable(data: bytes) -> None:
    text = text_of(data)
    raw = text.encode(errors="replace")
    ref = ShardRef(f"{MAP}-0-x", sha256(raw), raw.removeprefix(b"[\n").removesuffix(b"\n]").count(b",\n") + 1)
    try:
        entries = parse_shard(ref, text)
    except MapUnreadable:
        return
    with suppress(MapUnreadable, MapMoved):
        read_layout(MAP, [ref], {ref.name: text})
    revision = revision_of(digest_lines(entry.digest for entry in entries.values()))
    head = json.loads(head_of(Layout(MAP, {}, 1), 1).to_text())
    head |= {"revision": revision, "connectors": len(entries), "shards": [{"name": ref.name, "digest": ref.digest, "entries": ref.entries}]}
    await load(MemorySource({MAP: json.dumps(head), ref.name: text}))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("maps") / "map.yaml"


@replays("map-files")
@given(
    data=mutated(
        FILES, (b"kind", b"ConfigMap", b"---\n", b"data:", b": ", b"- ", b"&a ", b"*a", b"!!x ", b"<<: ", b"null", b"\xff", b"[", b"|")
    )
)
async def test_any_file_with_a_map_is_read_or_unreadable(file: Path, data: bytes) -> None:
    await asyncio.to_thread(file.write_bytes, data)
    await load(FileSource(file))
