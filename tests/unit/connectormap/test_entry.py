"""What an entry says, by name; and what it says in a form that this version does not know."""

from typing import Any

import pytest

from junctor.connectormap.entry import Entry
from junctor.connectormap.errors import InvalidEntry
from junctor.connectormap.policy import NOBODY, ApprovalRules, Limits, Policy, Subject, ToolRules
from junctor.connectormap.target import CredentialRef, Header, Target
from junctor.connectormap.view import EntryView, Origin, RegistrySource
from tests.unit.gateway.maps import bearer, content, discovered, registry


def view(**fields: Any) -> EntryView:
    return Entry.of(content("a", **fields)).view


def test_everything_that_an_entry_says_has_a_name() -> None:
    found = view(
        title="A",
        description="Does it.",
        headers=[
            {"name": "X-A", "value": "v"},
            {"name": "X-B", "credential": "k.1"},
            {"name": "X-C", "parts": ["p", {"credential": "k.2"}]},
        ],
        auth=bearer("k.3"),
        tls={"caBundle": "PEM"},
        tools={"allowed": ["t"], "readOnly": True},
        approval={"mode": "Always", "never": ["t"]},
        limits={"callTimeoutSeconds": 5},
        access={"subjects": [{"kind": "User", "name": "ann"}]},
        requires=["access/1"],
    )
    headers = (Header("X-A", ("v",)), Header("X-B", (CredentialRef("k.1"),)), Header("X-C", ("p", CredentialRef("k.2"))))
    assert (found.id, found.title, found.description, found.version, found.is_deprecated) == ("a", "A", "Does it.", "", False)
    assert found.target == Target("https://a.example.com/mcp", "Auto", headers, CredentialRef("k.3"), "PEM")
    assert found.policy == Policy("Allow", ToolRules(("t",), None, True), ApprovalRules("Always", None, ("t",)), Limits(10, 5))
    assert found.access == frozenset({Subject("User", "", "ann")})
    assert found.origin == Origin("MCPConnector", "team-a", "a", "uid-a", 1)
    assert found.credentials == ("k.1", "k.2", "k.3")
    assert found.unknown_features == []


def test_what_an_entry_does_not_say_has_its_default() -> None:
    found = EntryView({"id": "a"})
    assert (found.title, found.url, found.transport, found.origin, found.access, found.hosts) == ("", "", None, None, None, None)
    assert (found.target, found.policy, found.credentials) == (Target(""), Policy(), ())
    assert (found.is_available, found.reason) == (False, "Unavailable")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"available": False, "reason": "UnresolvedRefs"}, "UnresolvedRefs"),
        ({"available": False}, "Unavailable"),
        ({"available": "true"}, "Unavailable"),
        ({"available": 1, "reason": None}, "Unavailable"),
        ({"available": None, "description": '"available":true'}, "Unavailable"),
    ],
)
def test_only_true_makes_an_entry_available(fields: dict[str, Any], reason: str) -> None:
    entry = Entry.of(content("a", **fields))
    assert (entry.available, entry.reason) == (not reason, reason)
    assert (entry.view.is_available, entry.view.reason) == (not reason, reason)
    assert Entry.parse(entry.line) == entry


@pytest.mark.parametrize(
    "fields",
    [
        {"url": 7},
        {"transport": None},
        {"headers": "X-A"},
        {"headers": [{"name": "X-A"}]},
        {"headers": [{"value": "v"}]},
        {"headers": [{"name": "X-A", "credential": 7}]},
        {"headers": [{"name": "X-A", "parts": [7]}]},
        {"auth": "token"},
        {"auth": {"bearer": {}}},
        {"tls": []},
        {"tls": {"caBundle": 7}},
        {"hosts": "*.example.com"},
        {"hosts": [7]},
    ],
    ids=str,
)
def test_a_target_in_an_unknown_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry):
        _ = view(**fields).target


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"tools": {"allowed": "a"}},
        {"tools": {"denied": [7]}},
        {"tools": {"readOnly": "yes"}},
        {"approval": "Always"},
        {"approval": {"always": {}}},
        {"limits": []},
        {"limits": {"callTimeoutSeconds": "soon"}},
        {"limits": {"maxResultBytes": None}},
        {"limits": {"maxResultBytes": []}},
        {"limits": {"maxConcurrentCalls": 0}},
        {"limits": {"maxConcurrentCalls": float("inf")}},
        {"limits": {"connectTimeoutSeconds": -1}},
        {"limits": {"callTimeoutSeconds": float("nan")}},
    ],
    ids=str,
)
def test_a_policy_in_an_unknown_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidEntry):
        _ = view(**fields).policy


@pytest.mark.parametrize(
    "fields",
    [
        {"access": None},
        {"access": []},
        {"access": {"subjects": "ann"}},
        {"access": {"subjects": [], "others": []}},
        {"access": {"subjects": [{"kind": "Robot", "name": "r"}]}},
        {"access": {"subjects": [{"kind": "User", "name": "ann", "until": "tomorrow"}]}},
        {"access": {"subjects": [{"kind": "ServiceAccount", "name": "bot"}]}},
        {"requires": ["access/2"]},
    ],
    ids=str,
)
def test_access_in_an_unknown_form_is_for_nobody(fields: dict[str, Any]) -> None:
    assert view(**fields).access == NOBODY


def test_a_server_inherits_what_its_registry_says_and_keeps_what_it_says_itself() -> None:
    shared = registry(tools={"denied": ["rm"]}, tls={"caBundle": "PEM"}, access={"subjects": []}, requires=["registry/1", "access/1"])
    found = EntryView(discovered()).inherit_from(EntryView(shared))
    assert found.id == "mcp::internal::io.github.acme/weather"
    assert (found.target.url, found.target.ca_bundle, found.target.public_only) == ("https://mcp.acme.com/mcp", "PEM", True)
    assert found.policy.tools == ToolRules(denied=("rm",))
    assert found.access == NOBODY
    assert found.unknown_features == []
    with pytest.raises(InvalidEntry):
        _ = found.registry


def test_servers_of_a_registry_that_does_not_say_so_are_not_called_at_private_addresses() -> None:
    shared = registry()
    del shared["addresses"]
    assert EntryView(discovered()).inherit_from(EntryView(shared)).target.public_only
    assert not EntryView(discovered()).inherit_from(EntryView(shared | {"addresses": "any"})).target.public_only


@pytest.mark.parametrize("requires", [["mcp/2"], "mcp/1", None, {}])
def test_what_the_registry_requires_its_servers_require_too(requires: Any) -> None:
    assert EntryView(discovered()).inherit_from(EntryView(registry(requires=requires))).unknown_features
    assert EntryView(discovered(requires=requires)).inherit_from(EntryView(registry())).unknown_features


def test_the_registry_of_its_entry_is_known_by_id_and_url() -> None:
    assert EntryView(registry()).registry == RegistrySource("internal", "https://internal.example.com")


def test_what_remains_of_a_server_that_must_not_be_called() -> None:
    entry = Entry.of(discovered(title="W", headers=[{"name": "X-A", "credential": "k"}], hosts=["mcp.acme.com"], deprecated=True))
    left = entry.without_target("HostNotAllowed", "2.0.0")
    assert (left.reason, left.view.title, left.view.version, left.view.url, left.credentials) == ("HostNotAllowed", "W", "2.0.0", "", ())
    assert entry.without_target("HostNotAllowed").view.version == "1.2.0"
    kept = entry.without_credentials("UnresolvedRefs")
    assert (kept.reason, kept.view.url, kept.view.is_deprecated, kept.view.hosts) == (
        "UnresolvedRefs",
        "https://mcp.acme.com/mcp",
        True,
        None,
    )


def test_other_hosts_change_nothing_else() -> None:
    entry = Entry.of(discovered(headers=[{"name": "X-A", "credential": "k"}], hosts=["a.acme.com"]))
    changed = entry.with_hosts(("b.acme.com",))
    assert changed.view.hosts == ("b.acme.com",)
    assert changed.with_hosts(entry.view.hosts or ()) == entry


@pytest.mark.parametrize("required", [["later/9"], "later/9", [{"later": 9}], [["access/1"]], [None]])
def test_a_requirement_in_any_unknown_form_is_an_unknown_feature(required: Any) -> None:
    assert len(Entry.of({"id": "x", "requires": required}).view.unknown_features) == 1
