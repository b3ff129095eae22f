"""A registry in plans: its id, its servers, and a grant for their credentials."""

from typing import Any

from junctor.planning.plan import GatewayPlan
from tests.support.entries import content_of
from tests.unit.planning.building import bearer, server

ID = "mcp::internal"
A, B = server("a"), server("b")
SECURED = server("s", key="value")
GRANT = {"servers": ["*"], "hosts": ["*.acme.com"], "auth": bearer()}


def contents(plan: GatewayPlan, of: str = ID) -> dict[str, dict[str, Any]]:
    """The servers of a registry in a plan, by the last part of their names."""
    return {key.rsplit("/")[-1]: content_of(entry) for key, entry in plan.discovered.get(of, {}).items()}
