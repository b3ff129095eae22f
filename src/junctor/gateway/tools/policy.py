"""Decides which tools a request may use and which calls a human must approve. In doubt, the stricter decision holds. Pure."""

from dataclasses import dataclass
from typing import Literal, Self

from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.policy import DEFAULT_APPROVAL_MODE, Policy
from junctor.connectormap.view import EntryView
from junctor.gateway.tools.ports import OmittedTool, ToolSpec
from junctor.gateway.tools.server_errors import EntryUnusable


@dataclass(frozen=True, slots=True)
class ToolFilter:
    """OpenAI's filter of tools; both conditions must hold. names: None for any. read_only: compared with the server's readOnlyHint."""

    names: frozenset[str] | None = None
    read_only: bool | None = None

    def matches(self, tool: ToolSpec) -> bool:
        """Tell whether a tool passes. A tool without readOnlyHint counts as one that writes."""
        return (self.names is None or tool.name in self.names) and (self.read_only is None or (tool.read_only is True) == self.read_only)

    @property
    def is_empty(self) -> bool:
        """Whether it states no condition."""
        return self.names is None and self.read_only is None


@dataclass(frozen=True, slots=True)
class RequestedApproval:
    """A request's require_approval. everything: the string forms; None for the object form, whose filters decide."""

    everything: Literal["always", "never"] | None = "always"
    always: ToolFilter | None = None
    never: ToolFilter | None = None

    def requires_approval(self, tool: ToolSpec) -> bool:
        """Tell whether the caller wants to approve calls of a tool.

        In the object form every tool needs approval, except those that `never` names and `always` does not.
        """
        if self.everything is not None:
            return self.everything == "always"
        if _names(self.always, tool):
            return True
        return not _names(self.never, tool)


def _names(chosen: ToolFilter | None, tool: ToolSpec) -> bool:
    return chosen is not None and not chosen.is_empty and chosen.matches(tool)


@dataclass(frozen=True, slots=True)
class ConnectorPolicy:
    """The rules of a connector's entry, which hold for every request. The default, for servers without an entry, permits everything."""

    allowed: frozenset[str] | None = None
    denied: frozenset[str] = frozenset()
    read_only: bool = False
    mode: str = DEFAULT_APPROVAL_MODE
    always: frozenset[str] = frozenset()
    never: frozenset[str] = frozenset()

    @classmethod
    def of(cls, view: EntryView) -> Self:
        """Return the policy of an entry of the connector map. Raises EntryUnusable."""
        policy = policy_of_entry(view)
        tools, approval = policy.tools, policy.approval
        return cls(
            None if tools.allowed is None else frozenset(tools.allowed),
            frozenset(tools.denied or ()),
            tools.read_only is True,
            approval.mode,
            frozenset(approval.always or ()),
            frozenset(approval.never or ()),
        )

    def permits(self, tool: ToolSpec | OmittedTool) -> bool:
        """Tell whether the tool exists for callers."""
        if tool.name in self.denied or (self.allowed is not None and tool.name not in self.allowed):
            return False
        return not self.read_only or tool.read_only is True

    def requires_approval(self, tool: ToolSpec) -> bool:
        """Tell whether the platform requires approval, whatever the caller says. An unknown mode requires it."""
        if tool.name in self.always:
            return True
        return tool.name not in self.never and self.mode not in (DEFAULT_APPROVAL_MODE, "Never")


@dataclass(frozen=True, slots=True)
class ToolPolicy:
    """The rules of the connector and of the request together: the stricter one holds."""

    connector: ConnectorPolicy = ConnectorPolicy()
    allowed: ToolFilter = ToolFilter()
    approval: RequestedApproval = RequestedApproval()

    def permits(self, tool: ToolSpec) -> bool:
        """Tell whether this request may use the tool."""
        return self.connector.permits(tool) and self.allowed.matches(tool)

    def needs_approval(self, tool: ToolSpec) -> bool:
        """Tell whether a human must approve each call."""
        return self.connector.requires_approval(tool) or self.approval.requires_approval(tool)


def policy_of_entry(view: EntryView) -> Policy:
    """Return how callers may use a connector's server. Raises EntryUnusable."""
    try:
        return view.policy
    except InvalidEntry as error:
        raise EntryUnusable(f"connector {view.id}: {error}") from error
