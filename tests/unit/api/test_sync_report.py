from dataclasses import replace
from typing import Any

import pytest

from junctor.api.sync_report import Discovered
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from tests.support.entries import content_of
from tests.unit.registry.building import credentials, hashed, mapped, plain, raw, ref, remote, secret

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


def test_published_servers_are_recalled_and_resolve_to_the_same_entries() -> None:
    published = {found.id: found.resolve_credentials(VERSIONS).changed_at(41) for found in ENTRIES}
    memory = Discovered.recalled(RECORD, published)
    again = {connector_id: found.resolve_credentials(VERSIONS) for connector_id, found in memory.entries.items()}
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


def test_resolving_adds_the_versions_and_changes_nothing_else() -> None:
    found = ENTRIES[0].resolve_credentials(VERSIONS)
    assert found.credentials == tuple(sorted([VERSIONS[hashed("token")], VERSIONS[hashed("own")]]))
    restored = found.body.decode()
    for reference, version in VERSIONS.items():
        restored = restored.replace(version, reference)
    assert restored == ENTRIES[0].body.decode()


def test_a_rotated_secret_changes_the_digest() -> None:
    rotated = VERSIONS | {hashed("token"): f"{hashed('token')}.33cc"}
    assert ENTRIES[0].resolve_credentials(rotated).digest != ENTRIES[0].resolve_credentials(VERSIONS).digest


@pytest.mark.parametrize("missing", ["token", "own"])
def test_an_entry_whose_secret_is_missing_is_unavailable_and_names_none(missing: str) -> None:
    found = ENTRIES[0].resolve_credentials({reference: version for reference, version in VERSIONS.items() if reference != hashed(missing)})
    assert not content_of(found)["available"]
    assert content_of(found)["reason"] == "UnresolvedRefs"
    assert set(content_of(found)) == {"id", "available", "reason", "url", "transport", "description", "version", "requires", "since"}
    assert hashed("token") not in found.line.decode()
    assert hashed("own") not in found.line.decode()


def test_an_entry_that_was_published_without_its_secret_asks_for_a_full_sync() -> None:
    lost = ENTRIES[0].resolve_credentials({})
    memory = Discovered.recalled(RECORD, {lost.id: lost})
    assert (memory.watermark, memory.entries, memory.credentialed) == ("", {lost.id: lost}, frozenset())


def test_a_map_that_lost_entries_asks_for_a_full_sync() -> None:
    assert Discovered.recalled(replace(RECORD, connectors=2), {ENTRIES[2].id: ENTRIES[2]}).watermark == ""


def test_a_description_that_looks_like_an_entry_changes_nothing() -> None:
    found = mapped(raw(description='","reason":"UnresolvedRefs","credential":"abc.def'))
    assert isinstance(found, Entry)
    memory = Discovered.recalled(RECORD, {found.id: found})
    assert memory.watermark
    assert memory.credentialed == frozenset()
    assert memory.entries[found.id] is found
