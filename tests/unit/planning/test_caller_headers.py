"""What callers may send and see, and keys in addresses: from the resource into the map, and what a gateway reads there."""

from typing import Any

import pytest

from junctor.api.resources import RegistryResource
from junctor.connectormap.entry import Entry
from junctor.connectormap.view import EntryView
from junctor.planning.entries import registry_entry_of
from tests.support.entries import content_of
from tests.unit.gateway.maps import discovered
from tests.unit.planning.building import Story, connector, secret


def planned(**spec: Any) -> Entry:
    return Story().plan(connector("x", **spec)).entries["x"]


def planned_registry(**template: Any) -> Entry:
    spec = {"url": "https://registry.example.com", "connectorTemplate": template}
    body = {"metadata": {"name": "internal", "namespace": "team-a", "uid": "u", "generation": 1}, "spec": spec}
    return registry_entry_of(RegistryResource.of(body), "mcp::internal")


def test_without_the_fields_nothing_of_them_is_in_the_map() -> None:
    assert planned(callerHeaders=None, showPath=None).digest == planned().digest == planned(showPath=False).digest
    assert {"callerHeaders", "showPath"}.isdisjoint(content_of(planned()))
    assert {"callerHeaders", "showPath"}.isdisjoint(content_of(planned_registry()))


@pytest.mark.parametrize("names", [["X-Tenant", "X-Api-Key"], []])
def test_a_gateway_reads_the_names_and_one_that_does_not_know_them_does_not_call(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    view = planned(callerHeaders=names).view
    assert (view.policy.caller_headers, view.caller_headers) == (tuple(names), names)
    monkeypatch.setattr("junctor.connectormap.view.FEATURES", frozenset({"mcp/1"}))
    assert view.unknown_features == ["caller-headers/1"]


def test_servers_of_a_registry_inherit_both(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = planned_registry(callerHeaders=["X-Tenant"], showPath=True).view
    view = EntryView(discovered()).inherit_from(shared)
    assert (view.policy.caller_headers, view.shows_path) == (("X-Tenant",), True)
    monkeypatch.setattr("junctor.connectormap.view.FEATURES", frozenset({"mcp/1", "registry/1"}))
    assert view.unknown_features == ["caller-headers/1"]


def test_the_path_is_shown_on_wish_only_and_older_gateways_may_call() -> None:
    assert not planned().view.shows_path
    view = planned(showPath=True).view
    assert (view.shows_path, content_of(planned(showPath=True))["requires"]) == (True, [])


# --- variables of an address --------------------------------------------------------------------------------------------------------------

REF = {"valueFrom": {"secretKeyRef": {"name": "keys", "key": "value"}}}


def keyed(**spec: Any) -> Entry:
    fields = {"url": "https://mcp.example.com/{tenant}/{key}/mcp", **spec}
    fields.setdefault("variables", [{"name": "tenant", "value": "a/b"}, {"name": "key", **REF}])
    return Story().plan(connector("x", **fields), secrets=secret("keys", value=b"1")).entries["x"]


def test_plain_variables_are_filled_in_and_older_gateways_may_call() -> None:
    entry = keyed(url="https://mcp.example.com/{tenant}/mcp?t={tenant}", variables=[{"name": "tenant", "value": "a/b?c"}])
    content = content_of(entry)
    assert content["url"] == "https://mcp.example.com/a%2Fb%3Fc/mcp?t=a%2Fb%3Fc"
    assert ("urlParts" in content, content["requires"]) == (False, [])


def test_a_variable_from_a_secret_is_a_reference_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = keyed()
    [credential] = entry.credentials
    content = content_of(entry)
    assert content["url"] == "https://mcp.example.com/a%2Fb/{key}/mcp"
    assert content["urlParts"] == ["https://mcp.example.com/", "a%2Fb", "/", {"credential": credential}, "/mcp"]
    assert entry.view.target.url_parts[3] == (credential,)
    monkeypatch.setattr("junctor.connectormap.view.FEATURES", frozenset({"mcp/1"}))
    assert entry.view.unknown_features == ["url-parts/1"]


def test_an_address_whose_secret_is_missing_is_listed_with_its_variable() -> None:
    content = content_of(Story().plan(connector("x", url="https://mcp.example.com/{key}", variables=[{"name": "key", **REF}])).entries["x"])
    assert (content["available"], content["reason"], content["url"]) == (False, "SecretNotFound", "https://mcp.example.com/{key}")
    assert ("urlParts" in content, content["requires"]) == (False, [])
