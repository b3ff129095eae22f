"""Which servers of which registries a gateway's map holds, with which credentials."""

from typing import Any

import pytest

from junctor.api.conditions import Reason
from junctor.connectormap.entry import ENTRY_LIMIT
from junctor.connectormap.head import RegistryRecord
from junctor.planning.inputs import Published
from junctor.planning.resolve import GRACE_SECONDS
from junctor.planning.retain import HOLD_SECONDS
from tests.support.entries import content_of
from tests.unit.planning.building import (
    Story,
    bearer,
    connector,
    discovered,
    gateway,
    ids,
    reason,
    registry,
    secret,
    server,
    synced,
    verdict,
)
from tests.unit.planning.registries import GRANT, ID, SECURED, A, B, contents

LONG = [f"{number:0128}" for number in range(512)]
MANY = discovered(*(server(f"n{number}") for number in range(30)))


# --- entries and records ----------------------------------------------------------------------------------------------------------------


def test_registry_is_one_entry_with_its_policy_and_its_servers_stand_beside() -> None:
    resource = registry(connectorTemplate={"tools": {"readOnly": True}, "access": {"subjects": [{"kind": "Group", "name": "dev"}]}})
    plan = Story().plan(resource, syncs={resource.uid: synced(discovered(A, B))})
    entry = content_of(plan.entries[ID])
    assert (entry["registry"], entry["addresses"]) == ({"id": "internal", "url": "https://registry.example.com"}, "public")
    assert (entry["tools"], entry["requires"]) == ({"readOnly": True}, ["access/1", "registry/1"])
    assert (ids(plan.discovered[ID]), plan.connectors) == (sorted([A.id, B.id]), 3)


def test_private_addresses_are_allowed_by_the_registry_only() -> None:
    resource = registry(allowPrivateAddresses=True)
    assert content_of(Story().plan(resource).entries[ID])["addresses"] == "any"


def test_registry_that_was_never_read_is_in_the_map_without_servers() -> None:
    resource = registry()
    plan = Story().plan(resource)
    assert (ids(plan.entries), plan.discovered, plan.records) == ([ID], {}, ())


def test_head_remembers_where_the_next_sync_begins() -> None:
    resource = registry()
    plan = Story().plan(resource, syncs={resource.uid: synced(discovered(A, digest="sha256:d", watermark="2025-02-02T00:00:00Z"))})
    assert plan.records == (RegistryRecord("internal", resource.uid, 1, "2025-02-02T00:00:00Z", "sha256:d"),)


def test_sync_without_changes_gives_the_same_object_so_that_nobody_looks_at_it_again() -> None:
    resource, story = registry(credentials=[GRANT]), Story()
    found = discovered(A, SECURED)
    secrets = secret(value=b"one")
    first = story.plan(resource, syncs={resource.uid: synced(found)}, secrets=secrets)
    later = type(found)(found.registry_id, found.digest, "2025-03-03T00:00:00Z", found.entries, found.credentialed)
    second = story.plan(resource, syncs={resource.uid: synced(later)}, secrets=secrets)
    assert second.discovered[ID] is first.discovered[ID]
    assert second.records[0].watermark == "2025-03-03T00:00:00Z"


def test_incremental_sync_keeps_the_entries_of_unchanged_servers() -> None:
    resource, story = registry(credentials=[GRANT]), Story()
    other = server("t", key="value")
    secrets = secret(value=b"one")
    first = story.plan(resource, syncs={resource.uid: synced(discovered(SECURED, other))}, secrets=secrets)
    changed = server("t", key="value", description="new")
    second = story.plan(resource, syncs={resource.uid: synced(discovered(SECURED, changed))}, secrets=secrets)
    assert second.discovered[ID][SECURED.id] is first.discovered[ID][SECURED.id]
    assert contents(second)["t"]["description"] == "new"


def test_changed_credential_rewrites_only_the_entries_that_name_it() -> None:
    resource, story = registry(credentials=[GRANT, GRANT | {"auth": bearer(key="other")}]), Story()
    syncs = {resource.uid: synced(discovered(A, SECURED, server("t", key="other")))}
    first = story.plan(resource, syncs=syncs, secrets=secret(value=b"one", other=b"two")).discovered[ID]
    second = story.plan(resource, syncs=syncs, secrets=secret(value=b"one", other=b"new")).discovered[ID]
    assert [key for key in first if second[key] is not first[key]] == ["mcp::internal::io.acme/t"]
    assert second["mcp::internal::io.acme/t"].digest != first["mcp::internal::io.acme/t"].digest
    third = story.plan(resource, syncs=syncs, secrets=secret(value=b"one")).discovered[ID]
    assert third[SECURED.id] is first[SECURED.id]
    assert third["mcp::internal::io.acme/t"].credentials != ()  # the last credential stays in use for a while
    story.now += GRACE_SECONDS + 1
    fourth = story.plan(resource, syncs=syncs, secrets=secret(value=b"one")).discovered[ID]
    assert fourth[SECURED.id] is first[SECURED.id]
    assert (fourth["mcp::internal::io.acme/t"].available, fourth["mcp::internal::io.acme/t"].credentials) == (False, ())


def test_changed_credential_that_no_server_names_changes_nothing() -> None:
    resource, story = registry(credentials=[GRANT], auth=bearer(key="own")), Story()
    syncs = {resource.uid: synced(discovered(A, SECURED))}
    first = story.plan(resource, syncs=syncs, secrets=secret(value=b"one", own=b"two"))
    second = story.plan(resource, syncs=syncs, secrets=secret(value=b"one", own=b"new"))
    assert second.discovered[ID] is first.discovered[ID]


# --- after a restart --------------------------------------------------------------------------------------------------------------------


def restarted(story: Story) -> Story:
    """Another process with the same map."""
    again = Story(story.gateway)
    again.published, again.now = story.published, 1.0
    return again


def test_published_servers_stay_until_the_first_sync_of_a_new_process() -> None:
    resource, story = registry(credentials=[GRANT]), Story()
    before = story.plan(resource, syncs={resource.uid: synced(discovered(A, SECURED))}, secrets=secret(value=b"one"))
    after = restarted(story).plan(resource, secrets=secret(value=b"one"))
    assert after.discovered[ID] is before.discovered[ID]
    assert (after.credentials, after.records) == (before.credentials, before.records)


def test_servers_whose_registry_entry_was_lost_stay_by_what_the_head_says() -> None:
    resource, story = registry(), Story()
    before = story.plan(resource, syncs={resource.uid: synced(discovered(A))})
    story.published = Published({}, {}, before.discovered, story.published.records)
    assert ids(restarted(story).plan(resource).discovered[ID]) == [A.id]


def test_servers_of_another_resource_with_the_same_id_are_not_taken_over() -> None:
    story, new = Story(), registry(uid="new")
    old = registry(uid="old")
    story.plan(old, syncs={"old": synced(discovered(A))})
    plan = story.plan(new, deleted=frozenset({"old"}))
    assert plan.origins[ID].uid == "new"
    assert ID not in plan.discovered


# --- who owns a registry id -------------------------------------------------------------------------------------------------------------


def test_loser_of_a_registry_id_has_no_servers_and_heals_when_the_winner_goes() -> None:
    story = Story()
    old, young = registry("old", age=5, registryID="internal"), registry("young", registryID="internal")
    found = {old.uid: synced(discovered(A)), young.uid: synced(discovered(B))}
    plan = story.plan(old, young, syncs=found)
    assert (reason(plan, young), list(contents(plan))) == (Reason.ID_CONFLICT, ["a"])
    assert "team-a/old, which is older" in verdict(plan, young).accepted.message
    plan = story.plan(young, syncs=found, deleted=frozenset({old.uid}))
    assert (reason(plan, young), list(contents(plan)), plan.records[0].uid) == (Reason.ACCEPTED, ["b"], young.uid)


def test_incumbent_keeps_a_registry_id_against_an_older_resource() -> None:
    story = Story()
    incumbent, older = registry("incumbent", registryID="internal"), registry("older", age=9, registryID="internal")
    story.plan(incumbent, syncs={incumbent.uid: synced(discovered(A))})
    plan = story.plan(incumbent, older, syncs={incumbent.uid: synced(discovered(A))})
    assert (reason(plan, older), list(contents(plan))) == (Reason.ID_CONFLICT, ["a"])


def test_registry_and_connector_of_one_name_do_not_collide() -> None:
    plan = Story().plan(registry("x"), connector("x"))
    assert ids(plan.entries) == ["mcp::x", "x"]


@pytest.mark.parametrize(
    ("spec", "wanted", "words"),
    [
        ({"registryID": "Not-An-Id"}, Reason.INVALID, "registryID"),
        ({"connectorTemplate": {"quota": 5}}, Reason.UNSUPPORTED_FIELD, "spec.connectorTemplate.quota"),
        ({"connectorTemplate": {"tls": {"caBundle": "x"}}}, Reason.INVALID, "spec.connectorTemplate.tls.caBundle"),
        (
            {"connectorTemplate": {"tools": {"allowed": LONG, "denied": LONG}}},
            Reason.TOO_LARGE,
            str(ENTRY_LIMIT // 1024),
        ),
    ],
)
def test_registry_that_cannot_be_enforced_is_not_in_the_map_and_says_why(spec: dict[str, Any], wanted: Reason, words: str) -> None:
    resource = registry(**spec)
    plan = Story().plan(resource, syncs={resource.uid: synced(discovered(A))})
    assert reason(plan, resource) == wanted
    assert words in verdict(plan, resource).accepted.message
    assert (plan.entries, plan.discovered) == ({}, {})


# --- disabled, deleted, not selected, not known ------------------------------------------------------------------------------------------


def test_disabled_registry_leaves_the_map_at_once_and_comes_back_whole() -> None:
    story = Story()
    on, off = registry(), registry(generation=2, state="Disabled")
    syncs = {on.uid: synced(MANY)}
    story.plan(on, syncs=syncs)
    plan = story.plan(off)
    assert (plan.entries, plan.discovered, plan.hold) == ({}, {}, None)
    assert len(contents(story.plan(on, syncs=syncs))) == 30


def test_deleted_registry_takes_its_servers_along_at_once() -> None:
    story, resource = Story(), registry()
    story.plan(resource, connector("c"), syncs={resource.uid: synced(MANY)})
    plan = story.plan(connector("c"), deleted=frozenset({resource.uid}))
    assert (ids(plan.entries), plan.discovered, plan.records, plan.hold) == (["c"], {}, (), None)


def test_lost_registry_counts_with_its_servers_and_is_held() -> None:
    story, resource = Story(), registry()
    story.plan(resource, connector("c"), syncs={resource.uid: synced(MANY)})
    plan = story.plan(connector("c"))
    assert plan.hold is not None
    assert (plan.hold.lost, plan.hold.of, len(contents(plan))) == (31, 32, 30)
    assert plan.records[0].connectors == 30
    story.now += HOLD_SECONDS
    assert story.plan(connector("c")).discovered == {}


def test_lost_registry_with_few_servers_is_believed() -> None:
    story, resource = Story(), registry()
    story.plan(resource, connector("c"), syncs={resource.uid: synced(discovered(A))})
    assert ids(story.plan(connector("c")).entries) == ["c"]


def test_registry_that_a_gateway_no_longer_selects_leaves_its_map() -> None:
    story = Story(gateway(connectorSelector={"matchLabels": {"team": "a"}}))
    labelled, bare = registry(labels={"team": "a"}), registry()
    syncs = {bare.uid: synced(discovered(A))}
    story.plan(labelled, connector("c", labels={"team": "a"}), syncs=syncs)
    plan = story.plan(bare, connector("c", labels={"team": "a"}), syncs=syncs)
    assert (ids(plan.entries), plan.discovered, bare.uid in plan.verdicts) == (["c"], {}, False)


def test_nothing_of_a_registry_goes_while_nobody_knows_which_there_are() -> None:
    story, resource = Story(), registry(credentials=[GRANT])
    before = story.plan(resource, connector("c"), syncs={resource.uid: synced(discovered(A, SECURED))}, secrets=secret(value=b"one"))
    plan = story.plan(registries_known=False)
    assert (ids(plan.entries), plan.discovered[ID]) == ([ID], before.discovered[ID])
    assert (plan.credentials, plan.records) == (before.credentials, before.records)
    assert plan.hold is not None
    assert (plan.hold.lost, plan.hold.until) == (3, float("inf"))
