"""Which of a record's remotes becomes an entry, for which servers, and what the entry says."""

from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from junctor.connectormap.entry import Entry
from junctor.registry.mapping import map_server
from junctor.registry.records import ServerRecord
from tests.support.entries import content_of
from tests.unit.registry.building import NAME, URL, credentials, hashed, mapped, published, raw, remote, rules, secret, skipped
from tests.unit.registry.remotes import BEARER, SSE


def test_a_server_with_a_remote_becomes_an_entry() -> None:
    assert published(raw(title="Weather")) == {
        "id": f"mcp::internal::{NAME}",
        "available": True,
        "url": URL,
        "transport": "StreamableHTTP",
        "version": "1.2.3",
        "title": "Weather",
        "description": "Forecasts.",
        "requires": ["registry/1"],
        "since": 0,
    }


def test_the_name_keeps_its_case_in_the_id() -> None:
    assert published(raw(name="com.Acme/My_Server"))["id"] == "mcp::internal::com.Acme/My_Server"


def test_a_deprecated_server_is_published_as_such() -> None:
    assert published(raw(meta={"status": "deprecated"}))["deprecated"] is True
    assert "deprecated" not in published(raw())


# --- choice of remote -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remotes", "url", "transport"),
    [
        ([SSE, remote()], URL, "StreamableHTTP"),
        ([remote(), SSE], URL, "StreamableHTTP"),
        ([remote(), remote("https://second.acme.com")], URL, "StreamableHTTP"),
        ([SSE], SSE["url"], "SSE"),
        ([{"type": "websocket", "url": URL}, SSE], SSE["url"], "SSE"),
        ([remote("https://10.0.0.1/"), remote("http://a.acme.com"), remote()], URL, "StreamableHTTP"),
        ([remote("https://mcp.acme.com/{tenant}"), SSE], SSE["url"], "SSE"),
    ],
)
def test_the_first_usable_remote_is_taken_streamable_http_before_sse(remotes: list[Any], url: str, transport: str) -> None:
    content = published(raw(*remotes))
    assert (content["url"], content["transport"]) == (url, transport)


@pytest.mark.parametrize("remotes", [None, []])
def test_a_server_that_has_only_packages_has_no_remote(remotes: Any) -> None:
    assert skipped(raw(remotes=remotes, packages=[{"registryType": "npm"}])).reason == SkipReason.NO_REMOTE


def test_transports_that_junctor_does_not_speak_are_named() -> None:
    found = skipped(raw(remote(type="websocket"), remote(type="stdio\x1b")))
    assert found == (SkipReason.UNSUPPORTED_TRANSPORT, r"it has 'stdio\x1b', 'websocket'")


def test_the_reason_is_the_one_of_the_best_remote() -> None:
    assert skipped(raw(SSE | {"url": "http://mcp.acme.com"}, remote("https://10.0.0.1"))).reason == SkipReason.PRIVATE_ADDRESS


def test_an_entry_that_is_too_large_is_refused() -> None:
    headers = [{"name": f"X-{n}", "value": "x" * 4000} for n in range(20)]
    assert skipped(raw(remote(headers=headers))).reason == SkipReason.TOO_LARGE


# --- filter -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "passes"),
    [
        ({}, True),
        ({"include": ["io.github.acme/*"]}, True),
        ({"include": ["com.example/*"]}, False),
        ({"include": ["IO.github.acme/*"]}, False),
        ({"include": []}, False),
        ({"exclude": ["*/weather"]}, False),
        ({"include": [NAME], "exclude": [NAME]}, False),
        ({"exclude": ["com.example/*"]}, True),
        ({"search": "WEATHER"}, True),
        ({"search": "acme/wea"}, True),
        ({"search": "forecasts"}, False),
        ({"statuses": ["active"]}, True),
        ({"statuses": ["deprecated"]}, False),
    ],
)
def test_the_filter_looks_at_name_and_status(chosen: dict[str, Any], passes: bool) -> None:
    found = mapped(raw(), filter=chosen)
    assert isinstance(found, Entry) if passes else found == (SkipReason.FILTERED, "")


def test_both_statuses_pass_unless_the_filter_has_one() -> None:
    record = raw(meta={"status": "deprecated"})
    assert isinstance(mapped(record), Entry)
    assert isinstance(mapped(record, filter={"statuses": ["deprecated"]}), Entry)
    assert skipped(record, filter={"statuses": ["active"]}).reason == SkipReason.FILTERED


def test_a_deleted_server_is_left_out_whatever_the_filter_says() -> None:
    assert skipped(raw(meta={"status": "deleted"}), filter={"include": [NAME]}).reason == SkipReason.DELETED


def test_the_filter_may_ask_for_a_transport() -> None:
    assert published(raw(remote(), SSE), filter={"transports": ["sse"]})["transport"] == "SSE"
    assert published(raw(SSE, remote()), filter={"transports": ["sse", "streamable-http"]})["transport"] == "StreamableHTTP"
    assert skipped(raw(remote()), filter={"transports": ["sse"]}).reason == SkipReason.UNSUPPORTED_TRANSPORT


@pytest.mark.parametrize(("chosen", "most"), [({}, 100_000), ({"maxConnectors": 5}, 5)])
def test_the_most_connectors(chosen: dict[str, Any], most: int) -> None:
    assert rules(filter=chosen).max_connectors == most


# --- the entry --------------------------------------------------------------------------------------------------------------------------


def test_the_same_record_is_the_same_entry() -> None:
    first, second = mapped(raw()), mapped(raw(websiteUrl="https://acme.com"))
    assert isinstance(first, Entry)
    assert first == second


def test_an_entry_that_may_not_be_called_any_more_keeps_neither_address_nor_credentials() -> None:
    record = raw(remote(headers=[BEARER]), title="Weather")
    entry = map_server(ServerRecord.parse(record), rules(credentials=[credentials(secret("token"))]))
    assert isinstance(entry, Entry)
    assert entry.credentials == (hashed("token"),)
    assert content_of(entry.without_target(SkipReason.HOST_NOT_ALLOWED)) == {
        "id": f"mcp::internal::{NAME}",
        "available": False,
        "reason": "HostNotAllowed",
        "title": "Weather",
        "description": "Forecasts.",
        "version": "1.2.3",
        "requires": ["registry/1"],
        "since": 0,
    }
