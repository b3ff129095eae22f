"""A Secret whose owner names the hosts that may get its values goes nowhere else."""

from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.api.resources import Resource
from junctor.connectormap.credentials import reference_hash
from junctor.planning.inputs import CredentialVersion
from junctor.planning.resolve import resolve_references
from junctor.planning.secret_hosts import allows_host, bound_hosts, destinations
from tests.unit.planning.building import Story, bearer, connector, registry, verdict

VERSION = "0123456789abcdef"


@pytest.mark.parametrize(
    ("hosts", "host", "allowed"),
    [
        (None, "anything", True),
        ((), "mcp.acme.com", False),
        (("mcp.acme.com",), "mcp.acme.com", True),
        (("mcp.acme.com",), "MCP.acme.com", True),
        (("mcp.acme.com",), "xmcp.acme.com", False),
        (("*.acme.com",), "mcp.acme.com", True),
        (("*.acme.com",), "acme.com", False),
        (("*.acme.com",), "*.maps.acme.com", True),
        (("*.acme.com",), "*.acme.com", True),
        (("mcp.acme.com",), "*.acme.com", False),
        (("?.acme.com",), "*.acme.com", False),
        (("?.acme.com",), "?.acme.com", True),
        (("?.acme.com",), "a.acme.com", True),
        (("*.acme.com",), "*", False),
    ],
)
def test_a_glob_is_allowed_only_within_another_one(hosts: tuple[str, ...] | None, host: str, allowed: bool) -> None:
    assert allows_host(hosts, host) is allowed


def found(resource: Resource, *hosts: str, last: bool = False) -> tuple[str, bool]:
    """Reason and whether everything is resolved. last: whether the published entries name the credential."""
    secrets = {(resource.namespace, "token"): {"value": CredentialVersion(VERSION, 5, "", hosts)}}
    key = reference_hash(resource.namespace, "token", "value")
    resolution = resolve_references(resource, secrets, {key: f"{key}.{VERSION}"} if last else {}, 0.0, 0.0)
    assert bool(resolution.credentials) is resolution.complete
    return str(resolution.finding.reason), resolution.complete


def credentials(*hosts: str) -> dict[str, Any]:
    return {"credentials": [{"servers": ["*"], "hosts": list(hosts), "auth": bearer()}]}


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        (connector("a", url="https://mcp.acme.com:8443/mcp", auth=bearer()), True),
        (connector("a", url="https://MCP.ACME.COM/mcp", auth=bearer()), True),
        (connector("a", url="https://thief.example/mcp.acme.com", auth=bearer()), False),
        (connector("a", url="https://mcp.acme.com.thief.example/", auth=bearer()), False),
        (registry(url="https://mcp.acme.com", auth=bearer()), True),
        (registry(url="https://thief.example", auth=bearer()), False),
        (registry(**credentials("mcp.acme.com")), True),
        (registry(**credentials("mcp.acme.com", "*.example.com")), False),
        (registry(url="https://thief.example", auth=bearer(), **credentials("mcp.acme.com")), False),
    ],
)
def test_a_bound_secret_goes_to_its_hosts_only(resource: Resource, allowed: bool) -> None:
    assert found(resource, "mcp.acme.com") == (("ResolvedRefs", True) if allowed else (Reason.HOST_NOT_ALLOWED, False))


def test_the_last_credential_does_not_stay_in_use() -> None:
    assert found(connector("a", url="https://thief.example/", auth=bearer()), "mcp.acme.com", last=True) == (Reason.HOST_NOT_ALLOWED, False)


@pytest.mark.parametrize(
    ("annotation", "hosts"),
    [
        (None, None),
        ("", ()),
        ("MCP.acme.com, *.example.com", ("mcp.acme.com", "*.example.com")),
        (5, ()),
        ("a.example.com " * 64, ("a.example.com",) * 64),
        ("a.example.com " * 65, ()),
        ("x" * 254, ()),
        ("*a" * 8, ("*a" * 8,)),
        ("*a" * 9, ()),
    ],
)
def test_an_annotation_that_cannot_be_used_allows_no_host(annotation: object, hosts: tuple[str, ...] | None) -> None:
    assert bound_hosts(annotation) == hosts


def test_hosts_of_a_registry_are_compared_once_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 entries of credentials with 24 references and 64 hosts each are 100,000 comparisons, in every plan of everybody."""
    asked: list[str] = []

    def counted(hosts: tuple[str, ...] | None, host: str) -> bool:
        asked.append(host)
        return allows_host(hosts, host)

    monkeypatch.setattr("junctor.planning.resolve.allows_host", counted)
    story, bound = Story(), registry(**credentials(*(f"{n}.acme.com" for n in range(64))))
    for hosts, comparisons in (("*.acme.com", 64), ("*.acme.com", 64), ("0.acme.com", 66)):
        secrets = {("team-a", "token"): {"value": CredentialVersion(VERSION, 5, "", (hosts,))}}
        plan = story.plan(bound, secrets=secrets)
        assert len(asked) == comparisons
    assert verdict(plan, bound).resolved.reason == Reason.HOST_NOT_ALLOWED
    assert story.plan().verdicts == {}


def test_a_host_that_many_entries_name_is_one_destination_of_a_reference() -> None:
    entry = {"servers": ["*"], "hosts": ["a.acme.com", "b.acme.com"], "auth": bearer()}
    assert list(destinations(registry(url="https://own.example", auth=bearer(), credentials=[entry] * 3)).values()) == [
        ("own.example", "a.acme.com", "b.acme.com")
    ]
