"""What a misbehaving MCP server does to a listing of its tools: bounded, and read to its end."""

from typing import Any

import pytest
from starlette.responses import Response

from junctor.gateway.tools.server_errors import ListingFailed
from tests.contract.failing_calls import talking, works
from tests.support.mcp_servers import ECHO_TOOL, ScriptedServer, result


async def test_a_listing_of_5_mb_is_cut_off() -> None:
    async def huge(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [{**ECHO_TOOL, "description": "x" * 5_000_000}]})

    async with talking(ScriptedServer({"tools/list": huge})) as client:
        with pytest.raises(ListingFailed, match="more than"):
            await client.list_tools()


async def test_a_cursor_that_comes_back_ends_the_listing() -> None:
    async def loop(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [ECHO_TOOL], "nextCursor": "again"})

    async with talking(ScriptedServer({"tools/list": loop})) as client:
        with pytest.raises(ListingFailed, match="cursor came twice"):
            await client.list_tools()


async def test_a_listing_without_end_stops_at_64_pages() -> None:
    pages = iter(range(1000))

    async def endless(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [ECHO_TOOL], "nextCursor": str(next(pages))})

    async with talking(ScriptedServer({"tools/list": endless})) as client:
        with pytest.raises(ListingFailed, match="more than 64 pages"):
            await client.list_tools()


async def test_more_than_512_tools_are_refused() -> None:
    async def many(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [{**ECHO_TOOL, "name": f"tool{n}"} for n in range(513)]})

    async with talking(ScriptedServer({"tools/list": many})) as client:
        with pytest.raises(ListingFailed, match="more than 512 tools"):
            await client.list_tools()


async def test_every_page_is_read_and_the_empty_string_is_a_cursor() -> None:
    async def pages(request: dict[str, Any]) -> Response:
        match (request.get("params") or {}).get("cursor"):
            case None:
                return result(request, {"tools": [{**ECHO_TOOL, "name": "one"}], "nextCursor": ""})
            case "":
                return result(request, {"tools": [{**ECHO_TOOL, "name": "two"}], "nextCursor": "x"})
            case _:
                return result(request, {"tools": [{**ECHO_TOOL, "name": "three", "annotations": {"readOnlyHint": True}}]})

    async with talking(ScriptedServer({"tools/list": pages})) as client:
        assert [(tool.name, tool.read_only) for tool in await client.list_tools()] == [("one", None), ("two", None), ("three", True)]


@pytest.mark.parametrize("schema", [{}, {"type": 7}, None])
async def test_a_tool_whose_schema_is_none_makes_the_server_not_conformant(schema: object) -> None:
    async def bad(request: dict[str, Any]) -> Response:
        return result(request, {"tools": [ECHO_TOOL, {**ECHO_TOOL, "name": "bad", "inputSchema": schema}]})

    server = ScriptedServer({"tools/list": bad})
    async with talking(server) as client:
        with pytest.raises(ListingFailed, match="does not conform to MCP"):
            await client.list_tools()
        assert await works(client)
        assert server.asked("initialize") == 1
