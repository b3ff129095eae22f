"""The writer of a map with registries: what is worth a write, and what it remembers of a map that is damaged or written by another."""

from collections.abc import Mapping
from typing import Any

import pytest

from junctor.api.resources import RegistryResource
from junctor.api.sync_report import Discovered
from junctor.connectormap.entry import Entry
from junctor.connectormap.head import HEAD_KEY, Head, RegistryRecord
from junctor.planning.inputs import CredentialVersion, Inputs
from junctor.planning.plan import GatewayPlan, PlanCache, PlanMemory, plan_gateway
from junctor.reconcile.ports import Superseded
from junctor.reconcile.publisher import MapPublisher
from tests.support.entries import content_of
from tests.unit.planning.building import bearer, discovered, gateway, registry, secret, server, synced
from tests.unit.reconcile.fakes import MAP, Objects, Reader, head_of

ID = "mcp::internal"
GRANT = {"servers": ["*"], "hosts": ["*.acme.com"], "auth": bearer()}
SERVERS = [server(f"n{number}", description="d" * 900) for number in range(300)]


class Process:
    """An operator process with one registry."""

    def __init__(self, objects: Objects) -> None:
        self.memory = PlanMemory()
        self.cache = PlanCache()
        self.publisher = MapPublisher(gateway(), objects)
        self.plan: GatewayPlan | None = None

    async def run(
        self, found: Discovered | None, resource: RegistryResource | None = None, secrets: Mapping[Any, Any] | None = None, **fields: Any
    ) -> bool:
        """One pass. found: what the syncs of the registry report; None before they began."""
        resource = resource or registry()
        if self.plan is None:
            await self.publisher.load()
        syncs = {resource.uid: synced(found)} if found else {}
        inputs = Inputs({}, {resource.uid: resource}, syncs, secrets=secrets or {}, **fields)
        self.plan = plan_gateway(gateway(), inputs, self.publisher.published, self.memory, 1000.0, self.cache)
        self.memory = self.plan.memory
        try:
            written = await self.publisher.publish(self.plan, dict.fromkeys(self.plan.credentials, b"one"))
            await self.publisher.clean_up(self.plan)
        finally:
            self.publisher.end_pass()
        return written

    @property
    def dates(self) -> Mapping[str, int]:
        """Of the servers that the last plan asked for, as far as they are published."""
        assert self.plan is not None
        return self.publisher.progress(self.plan).discovered


async def entries(objects: Objects) -> Mapping[str, Entry]:
    """What a gateway reads."""
    reader = Reader(objects)
    current = await reader.read()
    assert current is not None
    assert not reader.missing_credentials()
    return current.entries


def record(objects: Objects) -> RegistryRecord:
    (only,) = head_of(objects).registries
    return only


async def test_registry_and_its_servers_are_one_map() -> None:
    objects = Objects()
    process = Process(objects)
    assert await process.run(discovered(*SERVERS))
    assert set(await entries(objects)) == {ID, *(item.id for item in SERVERS)}
    assert (head_of(objects).connectors, record(objects).connectors, process.dates) == (301, 300, {ID: 1})


async def test_changed_server_is_dated_and_rewrites_one_shard() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(discovered(*SERVERS))
    objects.calls.clear()
    assert await process.run(discovered(server("n0", description="new"), *SERVERS[1:]))
    assert objects.writes == ["create_shard", "write_head", "delete_shard"]
    dates = {key: entry.since for key, entry in (await entries(objects)).items()}
    assert [key for key, since in dates.items() if since == 2] == [f"{ID}::io.acme/n0"]
    assert process.dates == {ID: 2}


@pytest.mark.parametrize(
    ("later", "written"),
    [
        ({"watermark": "2025-05-05T00:00:00Z"}, False),
        ({"digest": "sha256:others"}, True),
        ({"watermark": ""}, True),
        ({}, False),
    ],
    ids=["a later watermark", "other rules", "no watermark any more", "nothing"],
)
async def test_head_is_written_for_other_rules_and_not_for_a_watermark(later: dict[str, str], written: bool) -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(discovered(*SERVERS[:3]))
    objects.calls.clear()
    assert await process.run(discovered(*SERVERS[:3], **later)) is written
    assert objects.writes == (["write_head"] if written else [])
    assert process.dates == {ID: 1}


async def test_watermark_goes_along_with_the_next_write() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(discovered(*SERVERS[:3]))
    await process.run(discovered(*SERVERS[:3], watermark="2025-05-05T00:00:00Z"))
    await process.run(discovered(*SERVERS[:4], watermark="2025-06-06T00:00:00Z"))
    assert record(objects).watermark == "2025-06-06T00:00:00Z"


async def test_registry_that_was_read_and_is_empty_is_remembered() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(None)
    assert head_of(objects).registries == ()
    assert await process.run(discovered())
    assert record(objects).connectors == 0
    again = Process(objects)
    assert not await again.run(None)
    assert not await again.run(discovered())
    assert again.dates[ID] <= head_of(objects).sequence


async def test_new_process_changes_nothing_before_and_after_it_remembered() -> None:
    objects = Objects()
    resource, versions = registry(credentials=[GRANT]), secret(value=b"one")
    found = discovered(*SERVERS[:3], server("s", key="value"))
    await Process(objects).run(found, resource, versions)
    objects.calls.clear()
    process = Process(objects)
    assert not await process.run(None, resource, versions)
    stored = process.publisher.published
    memory = Discovered.recalled(stored.records[ID], stored.discovered[ID])
    assert not await process.run(memory, resource, versions)
    assert objects.writes == []
    assert process.dates == {ID: 1}


async def test_rotated_credential_of_servers_is_stored_before_the_map_names_it() -> None:
    objects = Objects()
    process, resource = Process(objects), registry(credentials=[GRANT])
    found = discovered(*SERVERS[:3], server("s", key="value"))
    await process.run(found, resource, secret(value=b"one"))
    before = content_of((await entries(objects))[f"{ID}::io.acme/s"])["auth"]
    objects.calls.clear()
    # The fake gives every credential the same value; the version is what the map names.
    await process.run(found, resource, {("team-a", "token"): {"value": CredentialVersion("0123456789abcdef", 3)}})
    assert objects.writes[:3] == ["add_credentials", "create_shard", "write_head"]
    assert content_of((await entries(objects))[f"{ID}::io.acme/s"])["auth"] != before


async def test_servers_in_the_shards_that_are_left_stay_published_and_the_lost_ones_are_asked_for() -> None:
    objects = Objects()
    await Process(objects).run(discovered(*SERVERS))
    lost = next(ref for ref in head_of(objects).shards if f'"{ID}"' not in objects.shards[ref.name].data["connectors.json"])
    objects.remove_shard(lost.name)
    process = Process(objects)
    await process.run(None)
    assert process.publisher.published.records[ID].uid == registry().uid
    assert len(await entries(objects)) == 301 - lost.entries
    stored = process.publisher.published
    assert len(stored.discovered[ID]) == 300 - lost.entries


async def test_servers_stay_published_when_the_shard_with_their_registry_is_lost() -> None:
    objects = Objects()
    await Process(objects).run(discovered(*SERVERS))
    lost = next(ref for ref in head_of(objects).shards if f'"{ID}"' in objects.shards[ref.name].data["connectors.json"])
    objects.remove_shard(lost.name)
    process = Process(objects)
    await process.run(None)
    held = await entries(objects)
    assert ID in held
    assert len(held) == 301 - (lost.entries - 1)


async def test_map_that_another_operator_published_since_is_followed() -> None:
    objects = Objects()
    first, second = Process(objects), Process(objects)
    await first.run(discovered(*SERVERS[:3]))
    await second.run(discovered(*SERVERS[:3]))
    await second.run(discovered(*SERVERS[:5]))
    first.publisher.objects_changed()
    objects.calls.clear()
    assert not await first.run(discovered(*SERVERS[:5]))
    assert objects.writes == []
    assert first.dates == {ID: 2}


async def test_operator_with_a_lower_epoch_ends_before_it_writes() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(discovered(*SERVERS[:3]))
    head = Head.parse(objects.head.data[HEAD_KEY] if objects.head else "", MAP)
    theirs = Head(head.installation, 5, 9, head.revision, head.connectors, head.shards, head.registries)
    objects.edit_head(theirs.to_text())
    process.publisher.objects_changed()
    objects.calls.clear()
    with pytest.raises(Superseded):
        await process.run(discovered(*SERVERS))
    assert objects.writes == []


async def test_registry_that_goes_leaves_no_trace() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run(discovered(*SERVERS))
    off = registry(generation=2, state="Disabled")
    await process.run(None, off)
    assert (await entries(objects), head_of(objects).registries) == ({}, ())
    assert process.plan is not None
    assert process.publisher.progress(process.plan).removed == {off.uid: 2}
    assert process.dates == {}
