"""Lists of tools: what is left out, and how many are kept."""

import json
import tracemalloc
from typing import Any

import mcp_types as types
import pytest

from junctor.gateway.mcp.listing import CollectedTools, ListingCache, collect_tools
from junctor.gateway.mcp.outcome import SessionFailed


def tool(name: str, schema: dict[str, Any] | None = None, **fields: Any) -> types.Tool:
    return types.Tool.model_validate({"name": name, "inputSchema": {"type": "object", **(schema or {})}, **fields})


async def collected(*pages: list[types.Tool]) -> CollectedTools:
    """What is collected from these pages."""

    async def next_page(cursor: str | None) -> types.ListToolsResult:
        number = int(cursor or 0)
        more = str(number + 1) if number + 1 < len(pages) else None
        return types.ListToolsResult.model_validate({"tools": pages[number], "nextCursor": more})

    return await collect_tools(next_page)


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels else 0


@pytest.mark.parametrize(
    ("at_the_limit", "beyond", "reason"),
    [
        (tool("n" * 128), tool("n" * 129), "its name has more than 128 characters"),
        (tool("t", description="ä" * 8192), tool("t", description="ä" * 8192 + "b"), "its description has more than 16384 bytes"),
        (tool("t", {"x": "x" * 65_509}), tool("t", {"x": "x" * 65_517}), "its input schema has more than 65536 bytes"),
        (tool("t", {"x": [0] * 4998}), tool("t", {"x": [0] * 4999}), "its input schema has more than 5000 values"),
        (tool("t", {"x": nested(31)}), tool("t", {"x": nested(32)}), "its input schema is nested more than 32 levels deep"),
    ],
    ids=["name", "description", "bytes", "values", "depth"],
)
async def test_a_tool_beyond_a_bound_is_left_out(at_the_limit: types.Tool, beyond: types.Tool, reason: str) -> None:
    listing = (await collected([at_the_limit])).listing
    assert (len(listing), listing.omitted) == (1, ())
    listing = (await collected([beyond, tool("other")])).listing
    assert [spec.name for spec in listing] == ["other"]
    assert [omitted.reason for omitted in listing.omitted] == [reason]


async def test_tools_are_counted_with_repetitions_over_all_pages() -> None:
    assert len((await collected([tool("same")] * 256, [tool("same")] * 256)).listing) == 1
    with pytest.raises(SessionFailed, match="more than 512 tools"):
        await collected([tool("same")] * 256, [tool("same")] * 257)


class Holder:
    def __init__(self, connector: str, last_used: float = 0.0) -> None:
        self.connector = connector
        self.last_used = last_used
        self.dropped = 0

    def drop_tools(self) -> None:
        self.dropped += 1


async def test_equal_lists_are_kept_once() -> None:
    cache = ListingCache()
    one, other = Holder("a"), Holder("a")
    first = await collected([tool("t", {"x": [1, 2, 3]})])
    kept = cache.keep(one, first)
    assert cache.keep(other, await collected([tool("t", {"x": [1, 2, 3]})])) is kept
    assert cache.size == first.size
    cache.release(one)
    assert cache.size == first.size
    cache.release(other)
    cache.release(other)
    assert cache.size == 0


async def test_lists_that_differ_in_anything_are_told_apart() -> None:
    lists = [
        await collected(page)
        for page in (
            [tool("t")],
            [tool("u")],
            [tool("t", description="")],
            [tool("t", annotations={"readOnlyHint": True})],
            [tool("t", annotations={"readOnlyHint": False})],
            [tool("t", {"x": 1})],
            [tool("t"), tool("u")],
            [tool("t"), tool("u", {"x": nested(40)})],
        )
    ]
    assert len({one.digest for one in lists}) == len(lists)


async def test_a_connector_with_more_than_a_quarter_loses_the_list_that_was_used_longest_ago() -> None:
    lists = [await collected([tool(f"t{n}", {"x": [0] * 1000})]) for n in range(8)]
    cache = ListingCache(most=12 * lists[0].size)
    modest, greedy = Holder("modest"), [Holder("greedy", last_used) for last_used in (5, 1, 3, 2, 4, 6)]
    cache.keep(modest, lists[0])
    for holder, one in zip(greedy, lists[1:], strict=False):
        cache.keep(holder, one)
    assert modest.dropped == 0
    assert [holder.dropped for holder in greedy] == [0, 1, 1, 1, 0, 0]
    assert cache.size <= 4 * lists[0].size


async def test_when_there_are_too_many_the_connector_that_takes_most_loses_one() -> None:
    lists = [await collected([tool(f"t{n}", {"x": [0] * 1000})]) for n in range(6)]
    holders = [Holder(f"c{n // 2}") for n in range(6)]
    cache = ListingCache(most=8 * lists[0].size - 1)
    for holder, one in zip(holders, lists, strict=True):
        cache.keep(holder, one)
    assert [holder.dropped for holder in holders] == [1, 0, 1, 0, 1, 0]


async def test_a_list_that_is_too_large_for_the_cache_is_kept_until_the_next_use() -> None:
    large = await collected([tool("t", {"x": [0] * 1000})])
    cache = ListingCache(most=1)
    one, other = Holder("a"), Holder("a")
    cache.keep(one, large)
    cache.keep(other, await collected([tool("u", {"x": [0] * 1000})]))
    assert (one.dropped, other.dropped) == (1, 0)


@pytest.mark.parametrize("unit", [[], {}, {"a": 1}, "ab", [[]], 1.5, {"a": {"b": {"c": {}}}}, "x" * 100])
async def test_the_size_of_a_list_is_about_its_memory(unit: Any) -> None:
    def many(number: int) -> list[types.Tool]:
        return [tool(f"t{number}-{n}", json.loads(json.dumps({"x": [unit] * 450}))) for n in range(30)]

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = await collected(many(1))
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 2 * kept.size
