from dataclasses import replace
from typing import Any

import pytest

from junctor.api.registry import MCPRegistrySpec
from junctor.connectormap.discovered import Discovered, resolve_credentials
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from junctor.registry.rules import MappingRules
from tests.unit.registry.building import NAMESPACE, credentials, hashed, mapped, plain, raw, ref, remote, rules, secret

BEARER = {"name": "Authorization", "value": "Bearer {token}"}
KEY = {"name": "X-Key", "value": "Key {token}!"}
CREDENTIALS = [
    credentials(secret("token"), headers=[{"name": "X-Own", "valueFrom": ref("own")}, {"name": "credential", "value": "credential"}])
]
VERSIONS = {hashed("token"): f"{hashed('token')}.11aa", hashed("own"): f"{hashed('own')}.22bb"}
RECORD = RegistryRecord("internal", "u", 1, "2025-10-17T12:00:00Z", "sha256:ab")


def entry(*headers: dict[str, Any], name: str = "io.github.acme/weather", **spec: Any) -> Entry:
    found = mapped(raw(remote(headers=list(headers)), name=name), **spec)
    assert isinstance(found, Entry)
    return found


ENTRIES = [
    entry(BEARER, KEY, credentials=CREDENTIALS),
    entry(BEARER, name="com.Acme/a", credentials=[credentials(secret("token"))]),
    entry({"name": "X-Key", "value": '"credential":"x.y"'}, name="com.acme/b"),
    entry(name="com.acme/c", credentials=[credentials(plain("a.b", "c.d"))]),
]


def test_what_was_published_is_recalled_and_bound_as_it_was() -> None:
    published = {found.id: resolve_credentials(found, VERSIONS).changed_at(41) for found in ENTRIES}
    memory = Discovered.recalled(RECORD, published)
    again = {connector_id: resolve_credentials(found, VERSIONS) for connector_id, found in memory.entries.items()}
    assert {found.id: found.digest for found in again.values()} == {found.id: found.digest for found in published.values()}
    assert {found.id: found.digest for found in memory.entries.values()} == {found.id: found.digest for found in ENTRIES}
    assert memory.credentialed == {ENTRIES[0].id, ENTRIES[1].id}


def test_the_record_of_the_head_is_recalled() -> None:
    memory = Discovered.recalled(RECORD, {ENTRIES[2].id: ENTRIES[2]})
    assert (memory.registry_id, memory.digest, memory.watermark) == ("internal", "sha256:ab", "2025-10-17T12:00:00Z")
    bare = Discovered.recalled(RegistryRecord("internal"), {})
    assert (bare.digest, bare.watermark) == ("", "")


def test_an_entry_lists_the_credentials_of_its_headers_and_its_token() -> None:
    assert ENTRIES[0].credentials == tuple(sorted([hashed("token"), hashed("own")]))
    assert [bool(found.credentials) for found in ENTRIES] == [True, True, False, False]


def test_binding_puts_the_versions_in_and_changes_nothing_else() -> None:
    found = resolve_credentials(ENTRIES[0], VERSIONS)
    assert found.credentials == tuple(sorted([VERSIONS[hashed("token")], VERSIONS[hashed("own")]]))
    restored = found.body.decode()
    for reference, version in VERSIONS.items():
        restored = restored.replace(version, reference)
    assert restored == ENTRIES[0].body.decode()


def test_a_rotated_secret_changes_the_digest() -> None:
    rotated = VERSIONS | {hashed("token"): f"{hashed('token')}.33cc"}
    assert resolve_credentials(ENTRIES[0], rotated).digest != resolve_credentials(ENTRIES[0], VERSIONS).digest


@pytest.mark.parametrize("missing", ["token", "own"])
def test_an_entry_whose_secret_is_missing_is_unavailable_and_names_none(missing: str) -> None:
    found = resolve_credentials(ENTRIES[0], {reference: version for reference, version in VERSIONS.items() if reference != hashed(missing)})
    assert not found.content["available"]
    assert found.content["reason"] == "UnresolvedRefs"
    assert set(found.content) == {"id", "available", "reason", "url", "transport", "description", "version", "requires", "since"}
    assert hashed("token") not in found.line.decode()
    assert hashed("own") not in found.line.decode()


def test_an_entry_that_was_published_without_its_secret_asks_for_a_full_walk() -> None:
    lost = resolve_credentials(ENTRIES[0], {})
    memory = Discovered.recalled(RECORD, {lost.id: lost})
    assert (memory.watermark, memory.entries, memory.credentialed) == ("", {lost.id: lost}, frozenset())


def test_a_map_that_lost_entries_asks_for_a_full_walk() -> None:
    assert Discovered.recalled(replace(RECORD, connectors=2), {ENTRIES[2].id: ENTRIES[2]}).watermark == ""


def test_a_description_that_looks_like_an_entry_changes_nothing() -> None:
    found = mapped(raw(description='","reason":"UnresolvedRefs","credential":"abc.def'))
    assert isinstance(found, Entry)
    memory = Discovered.recalled(RECORD, {found.id: found})
    assert memory.watermark
    assert memory.credentialed == frozenset()
    assert memory.entries[found.id] is found


# --- the digest of the rules --------------------------------------------------------------------------------------------------------------


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
