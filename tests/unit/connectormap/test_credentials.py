"""Wherever an entry names a credential, it is listed and gets its version."""

import json
from typing import Any

import pytest

from junctor.api.sync_report import Discovered
from junctor.connectormap.credentials import credentials_in, reference_of
from junctor.connectormap.entry import UNRESOLVED_REFS, Entry
from junctor.connectormap.head import RegistryRecord
from junctor.connectormap.target import CredentialRef

KEY = "a1b2c3d4e5f60718"
VERSION = f"{KEY}.0011223344556677"
NAMED = {"credential": KEY}

#: Fields of an entry that name one credential: those of today, and some that only a later version may write.
PLACES: dict[str, dict[str, Any]] = {
    "a header": {"headers": [{"name": "X-Key", **NAMED}]},
    "a part of a header": {"headers": [{"name": "X-Key", "parts": ["Key ", NAMED, "!"]}]},
    "the bearer token": {"auth": {"bearer": NAMED}},
    "a client certificate": {"tls": {"clientCertificate": {"certificate": "PEM", "key": NAMED}}},
    "a variable": {"variables": {"tenant": NAMED, "region": "eu"}},
    "a part of the address": {"url": ["https://mcp.example.com/", NAMED]},
    "deep in a list": {"zones": [[{"a": [NAMED]}]]},
    "at the top": {"credential": KEY},
}


def entry_with(fields: dict[str, Any]) -> Entry:
    return Entry.of({"id": "mcp::internal::io.acme/a", "available": True, "url": "https://mcp.acme.com", "version": "1.0.0"} | fields)


@pytest.mark.parametrize("fields", PLACES.values(), ids=PLACES.keys())
def test_a_credential_is_listed_and_versioned_wherever_it_is(fields: dict[str, Any]) -> None:
    entry = entry_with(fields)
    assert entry.credentials == entry.view.credentials == (KEY,)
    resolved = entry.resolve_credentials({KEY: VERSION})
    assert resolved.credentials == (VERSION,)
    assert json.loads(resolved.body) == json.loads(entry.body.replace(KEY.encode(), VERSION.encode()))
    assert resolved.digest != entry.digest
    published = Entry.parse(resolved.changed_at(7).line)
    assert published == resolved.changed_at(7)
    memory = Discovered.recalled(RegistryRecord("internal"), {published.id: published})
    assert (memory.entries[entry.id], memory.credentialed) == (entry, frozenset({entry.id}))


@pytest.mark.parametrize(
    "renamed", [("credential",), ("auth", "headers", "url", "zones"), tuple({k for fields in PLACES.values() for k in fields})]
)
@pytest.mark.parametrize("fields", [*PLACES.values(), {k: v for fields in PLACES.values() for k, v in fields.items()}, {"auth": {}}])
def test_fields_that_are_encoded_by_themselves_give_the_same_entries(fields: dict[str, Any], renamed: tuple[str, ...]) -> None:
    content = {"id": "a", "available": True, "description": '"credential":"a"', "version": "1.0.0"} | fields
    together = Entry.of(content)
    apart = Entry.of(content, renamed={key for key in content if key in renamed or credentials_in({key: content[key]})})
    assert apart == together
    assert apart.resolve_credentials({KEY: VERSION}) == together.resolve_credentials({KEY: VERSION})


@pytest.mark.parametrize("fields", PLACES.values(), ids=PLACES.keys())
def test_an_entry_whose_credential_is_missing_shows_nothing_of_it(fields: dict[str, Any]) -> None:
    entry = entry_with(fields)
    left = entry.resolve_credentials({})
    assert (left.available, left.reason, left.credentials) == (False, UNRESOLVED_REFS, ())
    assert KEY.encode() not in left.body


def test_each_credential_is_listed_once_and_in_order() -> None:
    headers = [{"name": "X-A", "credential": "bb"}, {"name": "X-B", "parts": [{"credential": "aa"}, {"credential": "bb"}]}]
    assert entry_with({"headers": headers}).credentials == ("aa", "bb")


@pytest.mark.parametrize("fields", [{}, {"description": '"credential":"a"'}, {"title": "credential"}, {"credential": 7}, {"x": [1, None]}])
def test_what_is_no_credential_is_not_listed(fields: dict[str, Any]) -> None:
    entry = entry_with(fields)
    assert entry.credentials == credentials_in(fields) == ()
    assert entry.resolve_credentials({}) is entry


def test_the_reference_of_a_credential_is_what_comes_before_its_version() -> None:
    assert (reference_of(VERSION), reference_of(KEY)) == (KEY, KEY)
    assert CredentialRef(VERSION).to_json() == {"credential": VERSION}
