"""The loop among strangers: heads that somebody else wrote, and ids that somebody else waits for."""

from dataclasses import replace

from junctor.connectormap.head import HEAD_KEY
from junctor.reconcile.ports import Signature
from tests.unit.reconcile.fakes import MAP, head_of, until
from tests.unit.reconcile.world import World


async def test_forged_head_is_replaced_and_nothing_that_it_says_counts() -> None:
    world = World()
    world.apply("a")
    async with world.running():
        await until(lambda: world.served == 1)
        good = head_of(world.objects)
        stored = world.objects.head
        assert stored is not None
        forged = replace(good, epoch=9, sequence=2**60, connectors=7)
        world.objects._head = replace(stored, version=world.objects._next(), data={HEAD_KEY: forged.to_text()}, signature=Signature.INVALID)
        world.objects._report(MAP, stored.uid, world.objects._head.version)
        await until(lambda: head_of(world.objects) == replace(good, sequence=2))
        await until(lambda: any(event[2] == "ForgedMap" for event in world.sink.events))
        world.loop.wake()
        await world.settled()
    assert [(event[0].name, event[1]) for event in world.sink.events if event[2] == "ForgedMap"] == [(MAP, True)]


async def test_stranger_gets_an_id_by_itself_when_the_quarantine_is_over_and_an_event_says_so() -> None:
    world = World(({"name": "default", "namespace": "junctor", "idQuarantineSeconds": 1},))
    world.apply("owner", namespace="platform", connectorID="x")
    async with world.running():
        await until(lambda: world.served == 1)
        world.apply("stranger", namespace="tenant-x", connectorID="x")
        await until(lambda: world.sink.last("stranger").get("Accepted") == ("False", "IDConflict"))
        world.delete("owner")
        await until(lambda: world.served == 0)
        await until(lambda: world.sink.last("stranger").get("Accepted") == ("False", "IDQuarantined"))
        assert [(item.id, item.namespace) for item in head_of(world.objects).released] == [("x", "platform")]
        await until(lambda: world.served == 1)
        await until(lambda: any(event[2] == "IDChangedNamespace" for event in world.sink.events))
    ((about, is_warning, _, message),) = [event for event in world.sink.events if event[2] == "IDChangedNamespace"]
    assert (about.namespace, about.name, is_warning) == ("tenant-x", "stranger", True)
    assert "'x' passed from namespace platform to tenant-x" in message
    assert head_of(world.objects).released == ()
