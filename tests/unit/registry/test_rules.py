from typing import Any

import pytest

from junctor.api.registry import MCPRegistrySpec
from junctor.registry.rules import MappingRules
from tests.unit.registry.building import NAMESPACE, credentials, plain, ref, rules, secret


@pytest.mark.parametrize(
    "spec",
    [
        {"url": "https://other.acme.com"},
        {"filter": {"include": ["*"]}},
        {"filter": {"exclude": ["*"]}},
        {"filter": {"search": "a"}},
        {"filter": {"statuses": ["active"]}},
        {"filter": {"transports": ["sse"]}},
        {"filter": {"maxConnectors": 5}},
        {"allowInsecureURLs": True},
        {"allowPrivateAddresses": True},
        {"connectorTemplate": {"callerAuthorization": "Require"}},
        {"credentials": [credentials(plain("a", "b"))]},
    ],
    ids=str,
)
def test_the_digest_changes_with_what_decides_about_servers(spec: dict[str, Any]) -> None:
    assert rules(**spec).digest != rules().digest


@pytest.mark.parametrize(
    "changed",
    [
        credentials(plain("a", "c")),
        credentials(plain("b", "b")),
        credentials(secret("a", "b")),
        credentials(plain("a", "b"), hosts=["mcp.acme.com"]),
        credentials(plain("a", "b"), servers=["io.*"]),
        credentials(plain("a", "b"), headers=[{"name": "X-A", "value": "b"}]),
        credentials(plain("a", "b"), auth={"bearer": ref("token")}),
    ],
    ids=str,
)
def test_the_digest_changes_with_each_part_of_credentials(changed: dict[str, Any]) -> None:
    assert rules(credentials=[changed]).digest != rules(credentials=[credentials(plain("a", "b"))]).digest


def test_the_digest_changes_with_the_secret_and_the_order_of_credentials() -> None:
    first, second = credentials(secret("a", "one")), credentials(secret("a", "two"))
    digests = {rules(credentials=entries).digest for entries in ([first], [second], [first, second], [second, first])}
    assert len(digests) == 4


@pytest.mark.parametrize(("registry_id", "namespace"), [("other", NAMESPACE), ("internal", "team-b")])
def test_the_digest_changes_with_the_registry_and_the_namespace_of_its_secrets(registry_id: str, namespace: str) -> None:
    spec = MCPRegistrySpec.model_validate({"url": "https://registry.acme.com"})
    assert MappingRules.of(spec, registry_id, namespace).digest != rules().digest
    assert MappingRules.of(spec, "internal", NAMESPACE).digest == rules().digest


@pytest.mark.parametrize(
    "spec",
    [
        {"filter": {}},
        {"allowInsecureURLs": False, "allowPrivateAddresses": False},
        {"credentials": []},
        {"sync": {"intervalSeconds": 10, "pageSize": 5}},
        {"headers": [{"name": "X-A", "value": "b"}], "auth": {"bearer": ref("token")}},
        {"connectorTemplate": {"tools": {"readOnly": True}, "approval": {"mode": "Always"}, "callerAuthorization": "Allow"}},
        {"state": "Disabled"},
    ],
    ids=str,
)
def test_the_digest_stays_when_the_same_servers_are_published_in_the_same_way(spec: dict[str, Any]) -> None:
    assert rules(**spec).digest == rules().digest


def test_rules_show_no_value() -> None:
    assert "s3cr3t" not in repr(rules(credentials=[credentials(plain("a", "s3cr3t"))]))
