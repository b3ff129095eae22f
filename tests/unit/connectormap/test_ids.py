"""The grammar of ids: what is one, and how it is composed and taken apart."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap import ids

registry_ids = st.from_regex(re.compile(ids.REGISTRY_ID_PATTERN, re.ASCII), fullmatch=True)
server_names = st.from_regex(re.compile(ids.SERVER_NAME_PATTERN, re.ASCII), fullmatch=True)
connector_ids = st.from_regex(re.compile(ids.CONNECTOR_ID_PATTERN, re.ASCII), fullmatch=True)


@given(registry_id=registry_ids, name=server_names)
def test_a_discovered_id_is_taken_apart_as_it_was_composed(registry_id: str, name: str) -> None:
    connector_id = ids.discovered_id(registry_id, name)
    entry_id = ids.entry_id_of_registry(registry_id)
    assert ids.discovered_parts(connector_id) == (registry_id, name)
    assert ids.registry_entry_id(connector_id) == entry_id
    assert ids.registry_id_of_entry(entry_id) == registry_id
    assert ids.is_registry_id(registry_id)
    assert ids.is_possible_id(connector_id)
    assert ids.is_reserved_id(connector_id)
    assert ids.is_registry_entry(entry_id)
    assert not ids.is_registry_entry(connector_id)
    first, beyond = ids.discovered_id_range(registry_id)
    assert first < connector_id < beyond
    assert not first <= entry_id < beyond


@given(connector_id=connector_ids)
def test_an_id_of_a_connector_is_no_registrys(connector_id: str) -> None:
    assert ids.is_connector_id(connector_id)
    assert ids.is_possible_id(connector_id)
    assert not ids.is_reserved_id(connector_id)
    assert ids.registry_entry_id(connector_id) == ""
    assert ids.discovered_parts(connector_id) is None


@pytest.mark.parametrize(
    "value", ["", "a b", "ä", "a/b", "a:b", "x" * 129, "mcp::", "mcp::a", "mcp::a::", "mcp::a::b c", "mcp::A::b", "a\n"]
)
def test_what_no_connector_can_be_called(value: str) -> None:
    assert not ids.is_possible_id(value)


@pytest.mark.parametrize("value", ["", "A", "-a", "a.", "x" * 64, "a::b", "a_b", "a\n"])
def test_what_no_registry_can_be_called(value: str) -> None:
    assert not ids.is_registry_id(value)
