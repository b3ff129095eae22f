"""The connector map: what a writer lays out is what a reader gets, whole or not at all."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.connectormap.digests import digest_lines, revision_of, sha256
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.connectormap.errors import MapMoved, MapUnreadable, UnknownSchema
from junctor.connectormap.head import ShardRef
from junctor.connectormap.layout import SHARD_LIMIT, Layout, bucket_of
from junctor.connectormap.reader import READ_ATTEMPTS, ConnectorMap, parse_shard, read_layout, read_map
from junctor.connectormap.view import EntryView
from tests.support.entries import content_of
from tests.unit.gateway.maps import MAP, MemorySource, content, head_of, layout_of, publish, steps

ids = st.from_regex(r"[A-Za-z0-9._-]{1,12}", fullmatch=True) | st.from_regex(r"mcp::[a-z]{1,4}::[a-z]{1,6}/[a-z]{1,4}", fullmatch=True)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
contents = st.builds(lambda key, title, description: content(key, title=title, description=description), ids, texts, texts)
maps = st.lists(contents, max_size=30, unique_by=lambda item: str(item["id"]))

BIG = layout_of(*(content(f"connector_{number}", description="x" * 600) for number in range(400)))


async def read(source: MemorySource, current: ConnectorMap | None = None) -> ConnectorMap | None:
    return await read_map(MAP, source.fetch_head, source.fetch_shard, current)


async def read_whole(source: MemorySource, current: ConnectorMap | None = None) -> ConnectorMap:
    found = await read(source, current)
    assert found is not None
    return found


@given(items=maps, since=st.integers(1, 10**9))
async def test_any_map_survives_the_round_trip(items: list[dict[str, Any]], since: int) -> None:
    source = MemorySource()
    layout = layout_of(*items, since=since)
    for _ in steps(source, layout, since):
        pass
    found = await read_whole(source)
    assert {key: content_of(entry) for key, entry in found.entries.items()} == {item["id"]: item | {"since": since} for item in items}
    assert found.entries == layout.entries()
    assert read_layout(MAP, found.head.shards, source.config_maps).entries() == layout.entries()


@given(items=maps, more=maps, gone=st.sets(st.integers(0, 29)))
async def test_a_successor_read_in_part_equals_the_map_read_whole(items: list[Any], more: list[Any], gone: set[int]) -> None:
    source = MemorySource()
    first = publish(source, 1, *items)
    current = await read_whole(source)
    changes: dict[str, Entry | None] = {item["id"]: Entry.of(item, 2) for item in more}
    changes |= {items[index]["id"]: None for index in gone if index < len(items)}
    for _ in steps(source, first.replace(changes), 2):
        pass
    successor, whole = await read_whole(source, current), await read_whole(source)
    assert (successor.entries, successor.digests, successor.shards) == (whole.entries, whole.digests, whole.shards)


@given(number=st.integers(0, 399), title=texts)
@settings(max_examples=30)
async def test_a_changed_connector_touches_one_shard(number: int, title: str) -> None:
    before = BIG
    changed = content(f"connector_{number}", description="x" * 600, title=title)
    after = before.replace({changed["id"]: Entry.of(changed, 2)})
    differing = {bucket for bucket in before.shards if before.shards[bucket] is not after.shards[bucket]}
    assert after.buckets == before.buckets > 1
    assert differing == {bucket_of(changed["id"], before.buckets)}


async def test_a_reader_fetches_only_the_changed_shard_and_parses_only_the_changed_line() -> None:
    source = MemorySource()
    for _ in steps(source, BIG, 1):
        pass
    current = await read_whole(source)
    changed = Entry.of(content("connector_7", title="new"), 2)
    for _ in steps(source, BIG.replace({changed.id: changed}), 2):
        pass
    source.reads.clear()
    found = await read_whole(source, current)
    assert len(source.reads) == 2
    assert [key for key in found.entries if found.entries[key] is not current.entries[key]] == ["connector_7"]


@given(items=maps, buckets=st.sampled_from([1, 2, 8, 64]))
def test_equal_content_has_an_equal_revision_whatever_the_buckets(items: list[dict[str, Any]], buckets: int) -> None:
    one = layout_of(*items, since=1)
    entries = [Entry.of(item, 7) for item in reversed(items)]
    other = Layout(MAP, {}, buckets).replace({entry.id: entry for entry in entries})
    assert (
        revision_of(digest_lines(entry.digest for entry in one.entries().values()))
        == revision_of(digest_lines(entry.digest for entry in other.entries().values()))
        == revision_of(digest_lines(entry.digest for entry in entries))
    )


@given(sizes=st.lists(st.integers(1, ENTRY_LIMIT - 600), min_size=1, max_size=24), wide=st.booleans())
@settings(max_examples=40)
def test_no_object_exceeds_300_kib(sizes: list[int], wide: bool) -> None:
    fill = "ü" if wide else "x"
    items = [content(f"c{index}", description=fill * (size // len(fill.encode()))) for index, size in enumerate(sizes)]
    layout = layout_of(*items)
    grown = layout.replace({"more": Entry.of(content("more", description="x" * (ENTRY_LIMIT - 600)), 2)})
    for made in (layout, grown):
        assert max(len(shard.text.encode()) for shard in made.shards.values()) <= SHARD_LIMIT
        assert len(head_of(made, 1).to_text().encode()) < 300 * 1024


@given(data=st.data(), before=maps, after=maps)
async def test_a_reader_among_a_writers_steps_sees_the_old_map_or_the_new_one(
    data: st.DataObject, before: list[Any], after: list[Any]
) -> None:
    source = MemorySource()
    publish(source, 1, *before)
    current = await read_whole(source) if data.draw(st.booleans()) else None
    writing = steps(source, layout_of(*after, since=2), 2)
    plain = source._read

    def read_between_steps(name: str) -> str | None:
        for _ in range(data.draw(st.integers(0, 3))):
            next(writing, None)
        return plain(name)

    source._read = read_between_steps  # type: ignore[method-assign]
    found = await read_whole(source, current)
    wanted = before if found.head.sequence == 1 else after
    assert found.entries.keys() == {item["id"] for item in wanted}
    assert {entry.since for entry in found.entries.values()} <= {found.head.sequence}


@pytest.mark.parametrize("requires", [["mcp/2"], ["mcp/1", "x"], "mcp/1", 7, None, {}])
def test_an_unknown_requirement_fails_closed(requires: object) -> None:
    assert EntryView({"requires": requires}).unknown_features


def test_known_requirements_are_met() -> None:
    assert EntryView({"requires": ["mcp/1"]}).unknown_features == []
    assert EntryView({}).unknown_features == []


# --- maps that must not be served -----------------------------------------------------------------------------------------------------


async def refused(source: MemorySource, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        await read(source)


async def test_no_head_is_no_map() -> None:
    assert await read(MemorySource()) is None


async def test_a_truncated_head_is_refused() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    source.config_maps[MAP] = source.config_maps[MAP][:-20]
    await refused(source, MapUnreadable, "not a connector map head")


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"schema": 1}', '{"schema": "junctor.dev/connector-map/v1"}'])
async def test_what_is_no_head_is_refused(text: str) -> None:
    await refused(MemorySource({MAP: text}), MapUnreadable, MAP)


async def test_a_head_of_a_later_schema_is_refused_by_name() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    source.config_maps[MAP] = source.config_maps[MAP].replace("connector-map/v1", "connector-map/v2")
    await refused(source, UnknownSchema, "v2")


async def test_a_shard_with_another_digest_is_refused() -> None:
    source = MemorySource()
    name = publish(source, 1, content("a")).refs()[0].name
    source.config_maps[name] = source.config_maps[name].replace("example.com", "example.org")
    await refused(source, MapUnreadable, name)


def changed_head(source: MemorySource, **fields: object) -> None:
    source.config_maps[MAP] = json.dumps(json.loads(source.config_maps[MAP]) | fields)


@pytest.mark.parametrize("name", ["epoch", "sequence", "connectors"])
async def test_a_number_without_bounds_in_a_head_is_refused(name: str) -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    changed_head(source, **{name: float("inf")})
    await refused(source, MapUnreadable, "a field is missing or wrong")


@pytest.mark.parametrize("line", ['{"id":"a","since":1e999}', '{"id":' + "[" * 100_000 + "]" * 100_000 + "}"])
def test_a_shard_with_an_entry_that_cannot_be_parsed_is_refused(line: str) -> None:
    text = f"[\n{line}\n]"
    with pytest.raises(MapUnreadable, match="an entry cannot be read"):
        parse_shard(ShardRef("s", sha256(text), 1), text)


@pytest.mark.parametrize("fields", [{"connectors": 3}, {"connectors": 0}, {"revision": "sha256:00"}, {"shards": []}])
async def test_a_head_that_does_not_fit_its_shards_is_refused(fields: dict[str, Any]) -> None:
    source = MemorySource()
    publish(source, 1, content("a"), content("b"))
    changed_head(source, **fields)
    await refused(source, MapUnreadable, "where the head names|revision")


async def test_a_wrong_count_of_a_shard_is_refused() -> None:
    source = MemorySource()
    ref = publish(source, 1, content("a")).refs()[0]
    changed_head(source, shards=[{"name": ref.name, "digest": ref.digest, "entries": 2}])
    await refused(source, MapUnreadable, "1 entries where the head names 2")


def test_an_id_that_stands_twice_in_a_shard_is_refused() -> None:
    lines = [Entry.of(content("a", title=title), 1).line.decode() for title in ("one", "two")]
    text = "[\n" + ",\n".join(lines) + "\n]"
    with pytest.raises(MapUnreadable, match="1 entries where the head names 2"):
        parse_shard(ShardRef("s", sha256(text), 2), text)


async def test_a_shard_that_stays_away_is_told_after_some_attempts() -> None:
    source = MemorySource()
    name = publish(source, 1, content("a")).refs()[0].name
    del source.config_maps[name]
    await refused(source, MapMoved, name)
    assert source.reads.count(MAP) == READ_ATTEMPTS


def test_ids_that_were_chosen_to_collide_do_not_without_the_salt() -> None:
    wanted = bucket_of("mcp::evil::com.evil/0", 4096)
    names = (f"mcp::evil::com.evil/{number}" for number in itertools.count())
    colliding = itertools.islice((name for name in names if bucket_of(name, 4096) == wanted), 20)
    entries = [Entry.of({"id": name, "title": "t" * 60_000}) for name in colliding]
    assert Layout.build(MAP, entries).buckets > 4096
    salted = Layout.build(MAP, entries, "installation")
    assert max(shard.size for shard in salted.shards.values()) <= SHARD_LIMIT
    assert salted.buckets <= 512


def test_large_entries_of_one_tenant_neither_scatter_a_map_nor_lay_it_out_anew_again_and_again() -> None:
    small = [Entry.of({"id": f"small{number}", "title": "t" * 1000}) for number in range(2000)]
    large = [Entry.of({"id": f"large{number}", "title": "t" * 62_000}) for number in range(60)]
    layout = Layout.build(MAP, small, "installation")
    for entry in large:
        layout = layout.replace({entry.id: entry})
    assert len(layout.shards) <= 4 * sum(shard.size for shard in layout.shards.values()) / (64 * 1024)
    for entry in large[:20]:
        without = layout.replace({entry.id: None})
        again = without.replace({entry.id: entry})
        assert without.buckets == again.buckets == layout.buckets
        assert sum(shard is not layout.shards[bucket] for bucket, shard in again.shards.items()) == 1


def test_a_map_that_was_laid_out_without_a_salt_is_laid_out_anew() -> None:
    entries = [Entry.of({"id": f"c{number}", "title": "t" * 1000}) for number in range(300)]
    before = Layout.build(MAP, entries)
    assert len(before.shards) > 1
    texts = {shard.ref.name: shard.text for shard in before.shards.values()}
    after = read_layout(MAP, before.refs(), texts, "installation")
    assert after == Layout.build(MAP, entries, "installation")
    assert after.entries() == before.entries()
    again = {shard.ref.name: shard.text for shard in after.shards.values()}
    assert read_layout(MAP, after.refs(), again, "installation").shards == after.shards
