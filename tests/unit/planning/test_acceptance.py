"""The acceptance checks: what each one lets pass, and what it refuses, why and with what advice."""

from collections.abc import Callable
from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason
from junctor.api.configuration import GatewaySpec
from junctor.api.resources import Resource
from junctor.planning.acceptance import (
    CHECKS,
    accept_address,
    accept_ca_bundle,
    accept_fields,
    accept_globs,
    accept_hosts,
    accept_id,
    accept_id_policy,
    accept_schema,
    id_on,
    judge,
)
from tests.unit.planning.building import bearer, connector, gateway, registry

BROKEN_BUNDLE = "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n"
LONG = connector("n" * 100, namespace="s" * 60)


def assert_finding(finding: Finding | None, reason: Reason | None, part: str) -> None:
    """No finding if no reason is expected, else a refusal with this reason and this part of its message."""
    if reason is None:
        assert finding is None
        return
    assert finding is not None
    assert (finding.status, finding.reason) == ("False", reason)
    assert part in finding.message


@pytest.mark.parametrize(
    ("resource", "reason", "part"),
    [
        (connector("x"), None, ""),
        (registry(), None, ""),
        (connector("x", url="ftp://x"), Reason.INVALID, "spec.url"),
        (connector("x", url=None), Reason.INVALID, "spec.url"),
        (registry(registryID="Not-An-Id"), Reason.INVALID, "spec.registryID"),
        (registry(connectorTemplate={"tls": {"caBundle": "x"}}), Reason.INVALID, "spec.connectorTemplate.tls.caBundle"),
    ],
)
def test_accept_schema_refuses_a_spec_that_breaks_the_schema(resource: Resource, reason: Reason | None, part: str) -> None:
    assert_finding(accept_schema(resource, gateway()), reason, part)


@pytest.mark.parametrize(
    ("resource", "reason", "part"),
    [
        (connector("x"), None, ""),
        (connector("x", icons=[]), None, ""),
        (connector("x", displayHint="y"), None, ""),
        (connector("x", quota=5), Reason.UNSUPPORTED_FIELD, "spec.quota"),
        (connector("x", auth={**bearer(), "mtls": {}}), Reason.UNSUPPORTED_FIELD, "spec.auth.mtls"),
        (registry(connectorTemplate={"quota": 5}), Reason.UNSUPPORTED_FIELD, "spec.connectorTemplate.quota"),
    ],
)
def test_accept_fields_refuses_unknown_policy_and_ignores_unknown_descriptions(
    resource: Resource, reason: Reason | None, part: str
) -> None:
    assert_finding(accept_fields(resource, gateway()), reason, part)


@pytest.mark.parametrize(
    ("resource", "place"),
    [
        (connector("x", tls={"caBundle": BROKEN_BUNDLE}), "spec.tls.caBundle"),
        (registry(tls={"caBundle": BROKEN_BUNDLE}), "spec.tls.caBundle"),
        (registry(connectorTemplate={"tls": {"caBundle": BROKEN_BUNDLE}}), "spec.connectorTemplate.tls.caBundle"),
    ],
)
def test_accept_ca_bundle_refuses_certificates_that_cannot_be_loaded(resource: Resource, place: str) -> None:
    assert_finding(accept_ca_bundle(resource, gateway()), Reason.INVALID_CA_BUNDLE, f"{place}: cannot be read")


@pytest.mark.parametrize("resource", [connector("x"), registry(), registry(connectorTemplate={})])
def test_accept_ca_bundle_passes_resources_without_a_bundle(resource: Resource) -> None:
    assert accept_ca_bundle(resource, gateway()) is None


@pytest.mark.parametrize(
    ("template", "spec", "expected"),
    [
        ("{name}", {}, "github"),
        ("{namespace}.{name}", {}, "team-a.github"),
        ("corp_{name}", {}, "corp_github"),
        ("{namespace}.{name}", {"connectorID": "connector_github"}, "connector_github"),
    ],
)
def test_id_of_a_connector_is_explicit_or_made_by_the_template(template: str, spec: dict[str, Any], expected: str) -> None:
    assert id_on(connector("github", **spec), gateway(defaultConnectorID=template)) == expected


@pytest.mark.parametrize(("spec", "expected"), [({}, "mcp::internal"), ({"registryID": "official"}, "mcp::official")])
def test_id_of_a_registry_does_not_depend_on_the_template(spec: dict[str, Any], expected: str) -> None:
    assert id_on(registry("internal", **spec), gateway(defaultConnectorID="{namespace}.{name}")) == expected


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("https://mcp.example.com/mcp", None),
        ("http://10.0.0.1/mcp", None),
        ("http://127.0.0.1/mcp", None),
        ("http://169.254.169.254/latest/meta-data", "spec.url: its address is link-local, which is never allowed; change it"),
        ("http://2852039166/latest", "is link-local"),
        ("http://[::ffff:169.254.169.254]/", "is link-local"),
        ("http://[64:ff9b::a9fe:a9fe]/", "is link-local"),
        ("http://[fd00:ec2::254]:80/", "belongs to a cloud's metadata service"),
    ],
)
@pytest.mark.parametrize("kind", [connector, registry])
def test_accept_address_refuses_addresses_that_are_never_allowed(kind: Callable[..., Resource], url: str, part: str | None) -> None:
    assert_finding(accept_address(kind("x", url=url), gateway()), Reason.ADDRESS_NOT_ALLOWED if part else None, part or "")


@pytest.mark.parametrize(
    ("host", "part"),
    [
        ("mcp.acme.com", None),
        ("*.acme.com", None),
        ("acme.github.io", None),
        ("*.github.io", "spec.credentials[1].hosts: '*.github.io' covers hosts of strangers, because anybody may have one below github.io"),
        ("*.amazonaws.com", "below"),
        ("*.co.uk", "below co.uk"),
    ],
)
def test_accept_hosts_refuses_patterns_that_cover_a_public_suffix(host: str, part: str | None) -> None:
    rules = [
        {"servers": ["a/*"], "hosts": hosts, "variables": [{"name": "x", "value": "y"}]} for hosts in (["mcp.acme.com"], ["x.com", host])
    ]
    assert_finding(accept_hosts(registry(credentials=rules), gateway()), Reason.PUBLIC_SUFFIX if part else None, part or "")
    assert accept_hosts(connector("x"), gateway()) is None


@pytest.mark.parametrize(("entries", "reason"), [(0, None), (1, Reason.INVALID)])
def test_accept_globs_bounds_all_globs_of_a_registry_together(entries: int, reason: Reason | None) -> None:
    names = [f"{number:03d}".rjust(128, "n") for number in range(256)]
    entry = {"servers": ["a/*"], "hosts": ["mcp.acme.com"], "variables": [{"name": "x", "value": "y"}]}
    large = registry(filter={"include": names, "exclude": names}, credentials=[entry] * entries)
    assert large.spec is not None
    assert_finding(accept_globs(large, gateway()), reason, "more than 64 KiB of server names" if reason else "")
    assert accept_globs(connector("x"), gateway()) is None


@pytest.mark.parametrize(("stars", "reason"), [(8, None), (9, Reason.INVALID)])
def test_accept_hosts_refuses_patterns_of_many_wildcards(stars: int, reason: Reason | None) -> None:
    rules = [{"servers": ["a/*"], "hosts": ["*a" * stars + ".acme.com"], "variables": [{"name": "x", "value": "y"}]}]
    assert_finding(accept_hosts(registry(credentials=rules), gateway()), reason, "has more than 8 wildcards" if reason else "")


@pytest.mark.parametrize(
    ("template", "resource", "reason", "part"),
    [
        ("{namespace}.{name}", connector("x"), None, ""),
        ("{namespace}.{name}", LONG, Reason.INVALID_ID, "set spec.connectorID"),
        ("{name}", LONG, None, ""),
        ("{name}", connector("x", connectorID="mcp::internal"), Reason.INVALID_ID, "'mcp::internal' is not valid"),
        ("{name}", connector("x", connectorID="a b"), Reason.INVALID_ID, "'a b' is not valid"),
        ("{name}", registry(), None, ""),
        ("{name}", registry("r" * 64), Reason.INVALID_ID, "set spec.registryID"),
        ("{name}", registry("r" * 64, registryID="short"), None, ""),
    ],
)
def test_accept_id_refuses_ids_that_break_the_grammar_or_are_reserved(
    template: str, resource: Resource, reason: Reason | None, part: str
) -> None:
    assert_finding(accept_id(resource, gateway(defaultConnectorID=template)), reason, part)


@pytest.mark.parametrize(
    ("pattern", "namespaces", "resource", "reason", "part"),
    [
        ("connector_*", ["team-a"], connector("connector_x"), None, ""),
        ("connector_*", ["platform"], connector("something_else"), None, ""),
        ("connector_*", ["platform"], connector("CONNECTOR_X"), None, ""),
        ("connector_*", ["platform"], connector("connector_x"), Reason.ID_NOT_PERMITTED, "'connector_*' are reserved for platform;"),
        ("connector_*", [], connector("connector_x"), Reason.ID_NOT_PERMITTED, "reserved for nobody; recreate the resource"),
        ("mcp::*", ["platform"], registry(), Reason.ID_NOT_PERMITTED, "an id other than 'mcp::internal'"),
        ("mcp::*", ["team-a"], registry(), None, ""),
    ],
)
def test_accept_id_policy_reserves_patterns_for_namespaces(
    pattern: str, namespaces: list[str], resource: Resource, reason: Reason | None, part: str
) -> None:
    assert_finding(accept_id_policy(resource, gateway(idPolicies=[{"pattern": pattern, "namespaces": namespaces}])), reason, part)


FORBIDDING = gateway(idPolicies=[{"pattern": "*", "namespaces": []}])


@pytest.mark.parametrize(
    ("resource", "on", "reason"),
    [
        (connector("x"), gateway(), None),
        (connector("x", tls={"caBundle": BROKEN_BUNDLE}, quota=5), FORBIDDING, Reason.UNSUPPORTED_FIELD),
        (connector("x", tls={"caBundle": BROKEN_BUNDLE}), FORBIDDING, Reason.INVALID_CA_BUNDLE),
        (connector("x" * 200, connectorID="a b", url="ftp://x"), FORBIDDING, Reason.INVALID),
        (connector("x"), FORBIDDING, Reason.ID_NOT_PERMITTED),
    ],
)
def test_first_refusal_of_the_chain_counts(resource: Resource, on: GatewaySpec, reason: Reason | None) -> None:
    assert_finding(judge(resource, on), reason, "")


def test_chain_contains_every_check_once() -> None:
    assert (
        accept_schema, accept_fields, accept_address, accept_hosts, accept_globs, accept_ca_bundle, accept_id, accept_id_policy,
    ) == CHECKS  # fmt: skip
