"""What new rules forbid is off before the registry is read by them."""

from typing import Any

import pytest

from junctor.api.conditions import SkipReason
from junctor.connectormap.entry import Entry
from junctor.registry.retract import retract_disallowed
from tests.support.entries import content_of
from tests.support.fake_registry import Status
from tests.support.registry_data import Row, record, remote
from tests.unit.registry.building import credentials, hashed, mapped, raw, rules, secret
from tests.unit.registry.building import remote as place
from tests.unit.registry.syncing import ID, Syncing, named, usable

ALLOWED: dict[str, Any] = {"allowInsecureURLs": True, "allowPrivateAddresses": True}
NAME = "io.github.acme/weather"


def left(published: Any, **spec: Any) -> Any:
    """What new rules leave of an entry: the same, "gone", or its content."""
    assert isinstance(published, Entry)
    before = {published.id: published}
    after = retract_disallowed(before, rules(**spec))
    if published.id not in after:
        return "gone"
    return "same" if after is before else content_of(after[published.id])


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        ({"include": ["io.github.*"]}, "same"),
        ({"include": ["io.gitlab.*"]}, "gone"),
        ({"exclude": ["*/weather"]}, "gone"),
        ({"exclude": ["*/other"]}, "same"),
        ({"search": "WEATHER"}, "same"),
        ({"search": "jira"}, "gone"),
        ({"statuses": ["active"]}, "same"),
        ({"statuses": ["deprecated"]}, "gone"),
        ({"transports": ["streamable-http"]}, "same"),
        ({"transports": ["sse"]}, "gone"),
        ({"transports": ["sse", "streamable-http"], "maxConnectors": 1}, "same"),
    ],
    ids=str,
)
def test_a_filter_takes_off_what_it_does_not_choose(chosen: dict[str, Any], wanted: str) -> None:
    assert left(mapped(raw()), filter=chosen) == wanted


def test_a_filter_for_active_servers_takes_deprecated_ones_off() -> None:
    assert left(mapped(raw(meta={"status": "deprecated"})), filter={"statuses": ["active"]}) == "gone"


@pytest.mark.parametrize(
    ("url", "allowed", "reason"),
    [
        ("http://mcp.acme.com/mcp", {}, SkipReason.INSECURE_URL),
        ("http://mcp.acme.com/mcp", {"allowInsecureURLs": True}, None),
        ("https://10.1.2.3/mcp", {}, SkipReason.PRIVATE_ADDRESS),
        ("https://[fd00::1]:8443/mcp", {"allowInsecureURLs": True}, SkipReason.PRIVATE_ADDRESS),
        ("https://mcp.svc/mcp", {}, SkipReason.PRIVATE_ADDRESS),
        ("https://mcp.svc/mcp", {"allowPrivateAddresses": True}, None),
        ("https://mcp.acme.com/mcp", {}, None),
    ],
)
def test_addresses_that_are_not_allowed_any_more_are_not_called(url: str, allowed: dict[str, Any], reason: SkipReason | None) -> None:
    published = mapped(raw(place(url)), **ALLOWED)
    found = left(published, **allowed)
    if reason is None:
        assert found == "same"
    else:
        assert isinstance(published, Entry)
        kept = {"id", "version", "requires", "description", "since"}
        assert found == {key: value for key, value in content_of(published).items() if key in kept} | {"available": False, "reason": reason}


BEARER = {"auth": {"bearer": {"secretKeyRef": {"name": "token", "key": "value"}}}}
OTHER = {"auth": {"bearer": {"secretKeyRef": {"name": "other", "key": "value"}}}}
HEADER = {"headers": [{"name": "X-Key", "valueFrom": {"secretKeyRef": {"name": "token", "key": "value"}}}]}


@pytest.mark.parametrize(
    "now",
    [
        [],
        [credentials(**BEARER, servers=["io.gitlab.*"])],
        [credentials(**BEARER, hosts=["*.acme.org"])],
        [credentials(**OTHER)],
        [credentials(**OTHER), credentials(**BEARER)],
        [credentials(**BEARER, servers=["x/*"]), credentials(**OTHER)],
    ],
    ids=["none", "other servers", "other hosts", "another secret", "another secret first", "the secret is for others"],
)
def test_a_credential_that_is_not_granted_any_more_is_not_sent(now: list[Any]) -> None:
    published = mapped(raw(), credentials=[credentials(**BEARER)])
    found = left(published, credentials=now)
    assert (found["available"], found["reason"]) == (False, SkipReason.HOST_NOT_ALLOWED)
    assert not {"auth", "headers", "hosts", "url"} & set(found)


@pytest.mark.parametrize("grant", [BEARER, HEADER, {"variables": [secret("token")]}], ids=["bearer", "header", "variable"])
def test_a_credential_that_is_still_granted_stays(grant: dict[str, Any]) -> None:
    header = {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isSecret": True}}}
    published = mapped(raw(place(headers=[header] if "variables" in grant else [])), credentials=[credentials(**grant)])
    assert isinstance(published, Entry)
    assert hashed("token").encode() in published.body
    first = credentials(**OTHER, servers=["io.gitlab.*"])
    assert left(published, credentials=[first, credentials(**grant)], filter={"exclude": ["x"]}) == "same"


def test_a_credential_goes_only_to_the_hosts_that_are_granted_now() -> None:
    published = mapped(raw(), credentials=[credentials(**BEARER, hosts=["*.acme.com", "acme.org"])])
    found = left(published, credentials=[credentials(**BEARER, hosts=["mcp.acme.com"])])
    assert (found["available"], found["hosts"]) == (True, ["mcp.acme.com"])


def test_the_values_of_the_owner_go_like_credentials() -> None:
    plain = {"headers": [{"name": "X-Tenant", "value": "seven"}]}
    published = mapped(raw(), credentials=[credentials(**plain)])
    assert left(published)["reason"] == SkipReason.HOST_NOT_ALLOWED


def test_a_lower_limit_takes_the_last_names_off() -> None:
    entries = {}
    for letter in "dbac":
        entry = mapped(raw(name=f"io.acme/{letter}"))
        assert isinstance(entry, Entry)
        entries[entry.id] = entry
    assert sorted(retract_disallowed(entries, rules(filter={"maxConnectors": 2}))) == [f"{ID}io.acme/a", f"{ID}io.acme/b"]


def test_a_server_that_cannot_be_called_leaves_with_its_name() -> None:
    published = mapped(raw())
    assert isinstance(published, Entry)
    listed = published.without_target(SkipReason.HOST_NOT_ALLOWED)
    assert left(listed, filter={"exclude": ["*/weather"]}) == "gone"
    assert left(listed, filter={"exclude": ["*/other"]}) == "same"


# --- with syncs


def _mixed() -> list[Row]:
    plain = [record("io.acme/plain", remotes=[remote("http://plain.example.com/mcp")])]
    return [*plain, *named("io.acme/api", "io.acme/other", "zz.zz/last")]


async def test_what_is_forbidden_is_off_while_the_registry_does_not_answer() -> None:
    with Syncing(_mixed(), **ALLOWED) as registry:
        known = (await registry.full()).discovered
        sync = registry.new_sync(known, filter={"exclude": ["*/other"]})
        sync.retract_disallowed()
        assert registry.names == ["io.acme/api", "zz.zz/last"]
        assert registry.content("io.acme/plain")["reason"] == SkipReason.INSECURE_URL
        assert sync.counts.published == 2
        registry.fault = lambda _: Status(503)
        assert (await registry.incremental()).full
        assert registry.names == ["io.acme/api", "zz.zz/last"]


async def test_a_scan_by_the_new_rules_gives_what_is_left_and_more() -> None:
    with Syncing(_mixed(), **ALLOWED) as registry:
        known = (await registry.full()).discovered
        registry.new_sync(known).retract_disallowed()
        left_over = dict(registry.entries)
        await registry.full()
        assert all(registry.entries[key] is entry for key, entry in left_over.items())
        assert len(left_over) == len(registry.entries)


async def test_rules_that_change_back_ask_for_a_scan_too() -> None:
    with Syncing(_mixed(), **ALLOWED) as registry:
        known = (await registry.full()).discovered
        registry.new_sync(known, filter={"exclude": ["*/other"]}).retract_disallowed()
        sync = registry.new_sync(registry.sync.discovered, **ALLOWED)
        sync.retract_disallowed()
        assert not sync.can_be_incremental
        result = await registry.incremental()
        assert (result.full, len(registry.names)) == (True, 4)


async def test_rules_that_forbid_nothing_leave_the_same_objects() -> None:
    with Syncing(usable(50)) as registry:
        known = (await registry.full()).discovered
        sync = registry.new_sync(known, **ALLOWED)
        sync.retract_disallowed()
        assert sync.discovered is known
        assert not sync.can_be_incremental  # there may be more now


async def test_equal_rules_do_not_look_at_what_they_made() -> None:
    with Syncing(usable(50)) as registry:
        known = (await registry.full()).discovered
        sync = registry.new_sync(known)
        sync.retract_disallowed()
        assert sync.discovered is known
        assert sync.can_be_incremental
