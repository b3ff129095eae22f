"""The ids of connectors and registries: their grammar, how they are composed, and how they are split.

`connector_github`                    the connector of an MCPConnector
`mcp::internal`                       the entry of an MCPRegistry with the registry id `internal`; it is no connector
`mcp::internal::io.acme/weather`      a discovered connector: the server `io.acme/weather` of that registry
"""

import re
from typing import Final

#: Ids that begin with this belong to registries and to the servers discovered in them.
REGISTRY_ID_PREFIX: Final = "mcp::"
_SEPARATOR: Final = "::"

MAX_CONNECTOR_ID: Final = 128
MAX_REGISTRY_ID: Final = 63
MAX_SERVER_NAME: Final = 256
#: Regular expressions without anchors, which Python and the CEL of Kubernetes read alike.
CONNECTOR_ID_PATTERN: Final = rf"[A-Za-z0-9._-]{{1,{MAX_CONNECTOR_ID}}}"
REGISTRY_ID_PATTERN: Final = rf"[a-z0-9]([a-z0-9.-]{{0,{MAX_REGISTRY_ID - 2}}}[a-z0-9])?"
SERVER_NAME_PATTERN: Final = rf"[A-Za-z0-9._/-]{{1,{MAX_SERVER_NAME}}}"

_CONNECTOR_ID: Final = re.compile(CONNECTOR_ID_PATTERN, re.ASCII)
_REGISTRY_ID: Final = re.compile(REGISTRY_ID_PATTERN, re.ASCII)
_SERVER_NAME: Final = re.compile(SERVER_NAME_PATTERN, re.ASCII)


def is_connector_id(value: str) -> bool:
    """Whether `value` may be the id of an MCPConnector: 1 to 128 letters, digits, dots, underscores and hyphens."""
    return _CONNECTOR_ID.fullmatch(value) is not None


def is_registry_id(value: str) -> bool:
    """Whether `value` may be the id of a registry."""
    return _REGISTRY_ID.fullmatch(value) is not None


def is_reserved_id(value: str) -> bool:
    """Whether an id is reserved for registries and their servers. No MCPConnector may have it."""
    return value.startswith(REGISTRY_ID_PREFIX)


def is_registry_entry(entry_id: str) -> bool:
    """Whether an id is that of a registry's entry, such as `mcp::internal`."""
    return is_reserved_id(entry_id) and not registry_entry_id(entry_id)


def is_possible_id(value: str) -> bool:
    """Whether `value` is a valid id of a declared or discovered connector."""
    if not is_reserved_id(value):
        return is_connector_id(value)
    parts = discovered_parts(value)
    return parts is not None and _SERVER_NAME.fullmatch(parts[1]) is not None


def entry_id_of_registry(registry_id: str) -> str:
    """Return the id of a registry's entry: `mcp::internal` for the registry `internal`."""
    return f"{REGISTRY_ID_PREFIX}{registry_id}"


def registry_id_of_entry(entry_id: str) -> str:
    """Return the id of the registry of an entry: `internal` for the entry `mcp::internal`."""
    return entry_id.removeprefix(REGISTRY_ID_PREFIX)


def registry_entry_id(connector_id: str) -> str:
    """Return the id of the registry's entry: `mcp::internal` for the server `mcp::internal::io.acme/weather`; "" for other ids."""
    if not connector_id.startswith(REGISTRY_ID_PREFIX):
        return ""
    end = connector_id.find(_SEPARATOR, len(REGISTRY_ID_PREFIX))
    return connector_id[:end] if end > 0 else ""


def discovered_id(registry_id: str, server_name: str) -> str:
    """Return the connector id of a server of a registry."""
    return f"{REGISTRY_ID_PREFIX}{registry_id}{_SEPARATOR}{server_name}"


def discovered_parts(connector_id: str) -> tuple[str, str] | None:
    """Split the id of a discovered connector into registry id and server name. Returns None for another id."""
    registry_id, _, server_name = registry_id_of_entry(connector_id).partition(_SEPARATOR)
    if not is_reserved_id(connector_id) or not server_name or not is_registry_id(registry_id):
        return None
    return registry_id, server_name


def discovered_id_range(registry_id: str) -> tuple[str, str]:
    """Return the range of the ids of a registry's servers in sorted order: the first possible id, and the first one after them."""
    first = discovered_id(registry_id, "")
    return first, first[:-1] + chr(ord(first[-1]) + 1)
