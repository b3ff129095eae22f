"""Which tools a request may use and which calls a human has to approve. Pure: declarations in, decisions out; in doubt the stricter one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from junctor.gateway.tools.ports import ToolSpec


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """OpenAI's filter of tools; both conditions must hold. names: None for any. read_only: compared with the server's readOnlyHint."""

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def matches(self, tool: ToolSpec) -> bool:
        """Whether a tool is meant. A server that says nothing of a tool's effects has not said that it only reads."""
        return (self.names is None or tool.name in self.names) and (self.read_only is None or (tool.read_only is True) == self.read_only)

    @property
    def empty(self) -> bool:
        """Whether it says nothing at all."""
        return self.names is None and self.read_only is None


@dataclass(frozen=True, slots=True)
class RequestedApproval:
    """A request's require_approval. everything: for the string forms; None for the object form, whose filters then decide."""

    everything: Literal["always", "never"] | None = "always"
    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def asks(self, tool: ToolSpec) -> bool:
        """Whether the caller wants to be asked. In the object form only what `never` names, and `always` does not, goes unasked."""
        if self.everything is not None:
            return self.everything == "always"
        if _names(self.always, tool):
            return True
        return not _names(self.never, tool)


def _names(chosen: ToolFilter | None, tool: ToolSpec) -> bool:
    return chosen is not None and not chosen.empty and chosen.matches(tool)


@dataclass(frozen=True, slots=True)
class ConnectorPolicy:
    """What a connector's entry lays down for every request; the default, for a server that no entry describes, lays down nothing."""

    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()
    read_only: bool = False
    mode: str = "AsRequested"
    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """The policy of an entry of the connector map."""
        tools = content.get("tools") or {}
        approval = content.get("approval") or {}
        return cls(
            None if tools.get("allowed") is None else frozenset(tools["allowed"]),
            frozenset(tools.get("denied") or ()),
            tools.get("readOnly") is True,
            str(approval.get("mode") or "AsRequested"),
            frozenset(approval.get("always") or ()),
            frozenset(approval.get("never") or ()),
        )

    def permits(self, tool: ToolSpec) -> bool:
        """Whether the tool exists for callers."""
        if tool.name in self.denied or (self.allowed is not None and tool.name not in self.allowed):
            return False
        return not self.read_only or tool.read_only is True

    def asks(self, tool: ToolSpec) -> bool:
        """Whether the platform wants approval, whatever the caller says. A mode that is not known asks."""
        if tool.name in self.always:
            return True
        return tool.name not in self.never and self.mode not in ("AsRequested", "Never")


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """Connector and request together: the stricter of both."""

    connector: ConnectorPolicy = ConnectorPolicy()
    allowed: ToolFilter = ToolFilter()
    approval: RequestedApproval = RequestedApproval()

    def permits(self, tool: ToolSpec) -> bool:
        """Whether this request may use the tool."""
        return self.connector.permits(tool) and self.allowed.matches(tool)

    def needs_approval(self, tool: ToolSpec) -> bool:
        """Whether a human approves each call."""
        return self.connector.asks(tool) or self.approval.asks(tool)
