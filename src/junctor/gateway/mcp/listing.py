"""The tools of a server: collected from the pages of its list, each within bounds, and kept for all clients within bounds, too."""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import mcp_types as types

from junctor.gateway.mcp.outcome import SessionFailed
from junctor.gateway.tools.ports import OmittedTool, ToolFailure, ToolListing, ToolSpec
from junctor.net.json_values import count_values

MAX_PAGES: Final = 64
#: In a whole list, counted with repetitions.
MAX_TOOLS: Final = 512
_MAX_NAME: Final = 128
_MAX_DESCRIPTION: Final = 16 * 1024
_MAX_SCHEMA: Final = 64 * 1024
_MAX_VALUES: Final = 5000
_MAX_DEPTH: Final = 32
#: Bytes of all cached lists of a process, about; and the part of them that the lists of one connector may take.
MAX_CACHED: Final = 64 * 1024 * 1024
_PART: Final = 4
#: Bytes that a parsed value takes, about.
_VALUE_BYTES: Final = 128
#: Bytes that a tool takes in a request, however small it is.
_TOOL_BYTES: Final = 2048


@dataclass(frozen=True, slots=True)
class CollectedTools:
    """A list of tools. size: bytes of memory that it takes, about. digest: the same for equal lists."""

    listing: ToolListing
    size: int
    digest: bytes


async def collect_tools(next_page: Callable[[str | None], Awaitable[types.ListToolsResult]]) -> CollectedTools:
    """Return the tools of all pages; of tools with one name, the first. next_page: asks for the page of a cursor. Raises SessionFailed."""
    collector = _Collector()
    cursor: str | None = None
    cursors: set[str] = set()
    for _ in range(MAX_PAGES):
        page = await next_page(cursor)
        collector.add_page(page.tools)
        cursor = page.next_cursor
        # "" is a valid cursor.
        if cursor is None:
            return collector.collected()
        if cursor in cursors:
            raise SessionFailed(ToolFailure("http", "the server's tool list never ends: a cursor came twice", 502))
        cursors.add(cursor)
    raise SessionFailed(ToolFailure("http", f"the server's tool list has more than {MAX_PAGES} pages", 502))


class _Collector:
    def __init__(self) -> None:
        self._tools: dict[str, ToolSpec] = {}
        self._omitted: dict[str, OmittedTool] = {}
        self._count = 0
        self._size = 0
        self._digest = hashlib.sha256()

    def add_page(self, tools: Iterable[types.Tool]) -> None:
        for tool in tools:
            self._count += 1
            if self._count > MAX_TOOLS:
                raise SessionFailed(ToolFailure("http", f"the server lists more than {MAX_TOOLS} tools", 502))
            if tool.name not in self._tools:
                self._add(tool)

    def collected(self) -> CollectedTools:
        listing = ToolListing(tuple(self._tools.values()), tuple(self._omitted.values()), self._size // 2 + len(self._tools) * _TOOL_BYTES)
        return CollectedTools(listing, self._size, self._digest.digest())

    def _add(self, tool: types.Tool) -> None:
        read_only = tool.annotations.read_only_hint if tool.annotations else None
        schema = json.dumps(tool.input_schema, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
        reason = _excess(tool, schema)
        name = tool.name[:_MAX_NAME]
        if reason is not None:
            self._omitted.setdefault(name, OmittedTool(name, reason, read_only))
            head = json.dumps([name, reason])
        else:
            self._tools[name] = ToolSpec(name, tool.description or "", tool.input_schema, read_only)
            head = json.dumps([name, tool.description, read_only])
            self._size += 2 * (len(head) + len(schema)) + count_values(schema, _MAX_VALUES) * _VALUE_BYTES
            self._digest.update(schema)
        self._digest.update(head.encode())


def _excess(tool: types.Tool, schema: bytes) -> str | None:
    """Return what a tool has too much of, None when it is within all bounds."""
    if len(tool.name) > _MAX_NAME:
        return f"its name has more than {_MAX_NAME} characters"
    if len((tool.description or "").encode(errors="replace")) > _MAX_DESCRIPTION:
        return f"its description has more than {_MAX_DESCRIPTION} bytes"
    if len(schema) > _MAX_SCHEMA:
        return f"its input schema has more than {_MAX_SCHEMA} bytes"
    if count_values(schema, _MAX_VALUES) > _MAX_VALUES:
        return f"its input schema has more than {_MAX_VALUES} values"
    if _is_deeper(tool.input_schema, _MAX_DEPTH):
        return f"its input schema is nested more than {_MAX_DEPTH} levels deep"
    return None


def _is_deeper(value: Any, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(member, levels - 1) for member in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper(member, levels - 1) for member in value)
    return False


class Holder(Protocol):
    """Whoever keeps a list: a client of a connector."""

    connector: str
    last_used: float

    def drop_tools(self) -> None:
        """Keep no list."""
        ...


@dataclass(slots=True, eq=False)
class _Kept:
    collected: CollectedTools
    holders: set[Holder] = field(default_factory=set)


class ListingCache:
    """The cached lists of all clients: equal ones are kept once, and all together within bounds.

    Clients with credentials of their own usually get the same list. When all lists are too large, the connector that takes most loses the
    one that was used longest ago; a connector whose lists take more than a quarter of the space loses one of its own.
    """

    def __init__(self, most: int = MAX_CACHED) -> None:
        self._most = most
        self._kept: dict[bytes, _Kept] = {}
        self._digests: dict[Holder, bytes] = {}
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes that the lists take, about."""
        return self._size

    def keep(self, holder: Holder, collected: CollectedTools) -> ToolListing:
        """Keep a list for a client, instead of the one before; the list, or an equal one that is kept already."""
        self.release(holder)
        kept = self._kept.get(collected.digest)
        if kept is None:
            kept = self._kept[collected.digest] = _Kept(collected)
            self._size += collected.size
        kept.holders.add(holder)
        self._digests[holder] = collected.digest
        while len(self._kept) > 1 and (connector := self._too_large()) is not None and self._drop_one(connector, collected.digest):
            pass
        return kept.collected.listing

    def release(self, holder: Holder) -> None:
        """Keep no list for a client."""
        digest = self._digests.pop(holder, None)
        if digest is None:
            return
        kept = self._kept[digest]
        kept.holders.discard(holder)
        if not kept.holders:
            del self._kept[digest]
            self._size -= kept.collected.size

    def _too_large(self) -> str | None:
        """Return the connector that has to lose a list, None when there is space for all."""
        sizes: Counter[str] = Counter()
        for kept in self._kept.values():
            for connector in {holder.connector for holder in kept.holders}:
                sizes[connector] += kept.collected.size
        [(largest, size)] = sizes.most_common(1)
        return largest if self._size > self._most or size > self._most // _PART else None

    def _drop_one(self, connector: str, new: bytes) -> bool:
        """Drop the list of a connector that was used longest ago; False when it has none but the new one."""
        its = [
            kept for digest, kept in self._kept.items() if digest != new and any(holder.connector == connector for holder in kept.holders)
        ]
        if not its:
            return False
        unused = min(its, key=lambda kept: max(holder.last_used for holder in kept.holders))
        for holder in list(unused.holders):
            holder.drop_tools()
            self.release(holder)
        return True
