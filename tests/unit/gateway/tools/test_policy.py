"""Which tools may be used, and who is asked."""

from typing import Any

import pytest

from junctor.connectormap.view import EntryView
from junctor.gateway.tools.policy import ConnectorPolicy, RequestedApproval, ToolFilter, ToolPolicy
from junctor.gateway.tools.ports import ToolSpec

READ = ToolSpec("read", "", {}, read_only=True)
WRITE = ToolSpec("write", "", {}, read_only=False)
SILENT = ToolSpec("silent", "", {})


def named(*names: str) -> ToolFilter:
    return ToolFilter(frozenset(names))


@pytest.mark.parametrize(
    ("tools", "allowed", "want"),
    [
        ({}, ToolFilter(), "read write silent"),
        ({"allowed": ["read", "gone"]}, ToolFilter(), "read"),
        ({"allowed": []}, ToolFilter(), ""),
        ({"denied": ["write"]}, ToolFilter(), "read silent"),
        ({"allowed": ["read", "write"], "denied": ["write"]}, ToolFilter(), "read"),
        ({"readOnly": True}, ToolFilter(), "read"),
        ({"readOnly": False}, ToolFilter(), "read write silent"),
        ({"allowed": ["read"]}, named("read", "write"), "read"),
        ({"readOnly": True}, ToolFilter(read_only=False), ""),
        ({}, named(), ""),
        ({}, named("write"), "write"),
        ({}, ToolFilter(read_only=True), "read"),
        ({}, ToolFilter(read_only=False), "write silent"),
        ({}, ToolFilter(frozenset({"read", "write"}), read_only=True), "read"),
    ],
)
def test_a_request_narrows_what_the_connector_permits(tools: dict[str, Any], allowed: ToolFilter, want: str) -> None:
    policy = ToolPolicy(ConnectorPolicy.of(EntryView({"tools": tools})), allowed)
    assert " ".join(tool.name for tool in (READ, WRITE, SILENT) if policy.permits(tool)) == want


NOTHING = RequestedApproval(None)


@pytest.mark.parametrize(
    ("approval", "requested", "want"),
    [
        # The request alone.
        ({}, RequestedApproval(), "read write silent"),
        ({}, RequestedApproval("always"), "read write silent"),
        ({}, RequestedApproval("never"), ""),
        ({}, NOTHING, "read write silent"),
        ({}, RequestedApproval(None, never=named("read")), "write silent"),
        ({}, RequestedApproval(None, never=ToolFilter(read_only=True)), "write silent"),
        ({}, RequestedApproval(None, never=ToolFilter()), "read write silent"),
        ({}, RequestedApproval(None, always=named("write")), "read write silent"),
        ({}, RequestedApproval(None, always=named("read"), never=named("read", "write")), "read silent"),
        ({}, RequestedApproval(None, always=ToolFilter(read_only=False), never=named("read", "write")), "write silent"),
        # Both: the stricter one.
        ({"mode": "Always"}, RequestedApproval("never"), "read write silent"),
        ({"mode": "Always", "never": ["read"]}, RequestedApproval("never"), "write silent"),
        ({"mode": "Always", "never": ["read"]}, RequestedApproval("always"), "read write silent"),
        ({"mode": "AsRequested"}, RequestedApproval("never"), ""),
        ({"mode": "AsRequested", "always": ["write"]}, RequestedApproval("never"), "write"),
        ({"mode": "Never"}, RequestedApproval("never"), ""),
        ({"mode": "Never"}, RequestedApproval(), "read write silent"),
        ({"mode": "Never", "always": ["write"]}, RequestedApproval("never"), "write"),
        ({"mode": "Sometimes"}, RequestedApproval("never"), "read write silent"),
    ],
)
def test_the_stricter_approval_wins(approval: dict[str, Any], requested: RequestedApproval, want: str) -> None:
    policy = ToolPolicy(ConnectorPolicy.of(EntryView({"approval": approval})), approval=requested)
    assert " ".join(tool.name for tool in (READ, WRITE, SILENT) if policy.needs_approval(tool)) == want
