"""The writer of a map repairs what others changed, and never writes over what another installation owns."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.reconcile.ports import ForeignMap, PortError, Superseded
from tests.unit.reconcile.fakes import Objects, head_of
from tests.unit.reconcile.publishing import SECURED, TOKEN, A, B, Process, credential, map_of, watched

# --- other hands --------------------------------------------------------------------------------------------------------------------


async def test_head_deleted_by_hand_is_written_again_above_the_old_sequence() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": A})
    objects.delete_head()
    assert await process.run({"a": A})
    assert head_of(objects).sequence == 2


async def test_shard_deleted_by_hand_is_written_again() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": A})
    objects.remove_shard(next(iter(objects.shards)))
    await process.run({"a": A})
    assert set(await map_of(objects)) == {"a"}


async def test_shard_with_another_content_is_replaced() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": A})
    objects.replace_shard(next(iter(objects.shards)), "[\n]")
    await process.run({"a": A})
    assert set(await map_of(objects)) == {"a"}


async def test_credentials_deleted_by_hand_are_written_again() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": SECURED}, TOKEN)
    objects.remove_secret(credential_object(credential(b"one")))
    await process.run({"a": SECURED}, TOKEN)
    assert set(await map_of(objects)) == {"a"}


async def test_credential_with_another_value_is_written_again() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": SECURED}, TOKEN)
    number = credential_object(credential(b"one"))
    objects.set_secret(number, {credential(b"one"): b"forged"})
    await process.run({"a": SECURED}, TOKEN)
    assert objects.secrets[number] == {credential(b"one"): b"one"}


@pytest.mark.parametrize("text", ["", "not JSON", "[]", "{}", '{"schema": "junctor.dev/connector-map/v1"}'])
async def test_unreadable_head_of_our_own_is_repaired(text: str) -> None:
    objects = Objects()
    await Process(objects).run({"a": A})
    objects.edit_head(text)
    await Process(objects).run({"a": A})
    assert set(await map_of(objects)) == {"a"}


@pytest.mark.parametrize(
    "edit",
    [
        lambda head: head | {"revision": "sha256:0"},
        lambda head: head | {"connectors": 7},
        lambda head: head | {"shards": [dict(head["shards"][0], entries=9)]},
        lambda head: head | {"shards": []},
        lambda head: head | {"features": ["mcp/99"]},
    ],
    ids=["revision", "count", "shard", "no shards", "features"],
)
@pytest.mark.parametrize("restarted", [True, False], ids=["while the operator was down", "while it ran"])
async def test_head_edited_by_hand_is_repaired(edit: Callable[[dict[str, Any]], dict[str, Any]], restarted: bool) -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": A})
    good = head_of(objects)
    objects.edit_head(json.dumps(edit(json.loads(good.to_text()))))
    await (Process(objects) if restarted else process).run({"a": A})
    assert set(await map_of(objects)) == {"a"}
    assert head_of(objects).features == good.features
    assert head_of(objects).sequence > good.sequence


async def test_an_edit_of_the_head_while_the_operator_was_down_is_repaired() -> None:
    objects = Objects()
    await Process(objects).run({"a": A})
    good = head_of(objects)
    forged = Head(good.installation, good.epoch, good.sequence, "sha256:0", good.connectors, good.shards)
    objects.edit_head(forged.to_text())
    await Process(objects).run({"a": A})
    assert set(await map_of(objects)) == {"a"}


@pytest.mark.parametrize("owned", [True, False], ids=["owned", "not owned"])
async def test_head_of_another_installation_is_never_written(owned: bool) -> None:
    objects = Objects()
    foreign = Head("somebody else", 1, 7, "sha256:", 0, ()).to_text()
    objects.place_head(foreign, owned=owned)
    process = Process(objects)
    with pytest.raises(ForeignMap):
        await process.run({"a": A})
    assert objects.head is not None
    assert objects.head.data[HEAD_KEY] == foreign
    assert objects.writes == []
    assert process.publisher.failure is not None


async def test_unreadable_head_that_nobody_of_ours_owns_is_never_written() -> None:
    objects = Objects()
    objects.place_head("not JSON", owned=False)
    with pytest.raises(ForeignMap):
        await Process(objects).run({"a": A})
    assert objects.writes == []


async def test_map_goes_on_once_the_foreign_head_is_gone() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    objects.place_head(Head("somebody else", 1, 7, "sha256:", 0, ()).to_text(), owned=False)
    with pytest.raises(ForeignMap):
        await process.run({"a": A})
    objects.delete_head()
    await process.run({"a": A})
    assert set(await map_of(objects)) == {"a"}
    assert process.publisher.failure is None


async def test_shard_that_vanished_while_the_operator_was_down_takes_no_other_shard_with_it() -> None:
    objects = Objects()
    many = {f"c{n}": {"url": A["url"], "description": "x" * 4000} for n in range(80)}
    await Process(objects).run(many)
    assert len(objects.shards) > 2
    lost = next(iter(objects.shards))
    kept = sum(shard.data[SHARD_KEY].count('"id"') for name, shard in objects.shards.items() if name != lost)
    objects.remove_shard(lost)
    process = Process(objects)
    await process.publisher.load()
    assert len(process.publisher.published.entries) == kept
    await process.run(many)
    assert set(await map_of(objects)) == set(many)


# --- sequence and epoch -------------------------------------------------------------------------------------------------------------


async def test_sequence_is_above_what_pods_acknowledged() -> None:
    objects = Objects()
    process = Process(objects)
    process.floor = 41
    await process.run({"a": A})
    assert head_of(objects).sequence == 42


async def test_pod_that_turns_out_to_serve_a_higher_sequence_gets_a_higher_head() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A})
    process.floor = 41
    assert await process.run({"a": A})
    assert head_of(objects).sequence == 42


async def test_head_edited_to_an_older_sequence_is_followed_by_a_newer_one() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    for number in range(3):
        await process.run({"a": {"url": f"https://{number}.example.com/mcp"}})
    good = head_of(objects)
    objects.edit_head(Head(good.installation, good.epoch, 1, good.revision, good.connectors, good.shards).to_text())
    await process.run({"a": {"url": "https://2.example.com/mcp"}})
    assert head_of(objects).sequence > good.sequence


async def test_head_edited_to_a_higher_sequence_never_leads_back() -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    await process.run({"a": A})
    good = head_of(objects)
    objects.edit_head(Head(good.installation, good.epoch, 500, good.revision, good.connectors, good.shards).to_text())
    await process.run({"a": A})
    assert process.publisher.sequence == head_of(objects).sequence >= 500
    await process.run({"b": B})
    assert head_of(objects).sequence > 500


@pytest.mark.parametrize("heard", [True, False], ids=["its write was seen", "its write was not seen"])
async def test_writer_with_a_higher_epoch_ends_this_one(heard: bool) -> None:
    objects = Objects()
    process = Process(objects)
    if heard:
        watched(objects, process)
    await process.run({"a": A})
    good = head_of(objects)
    theirs = Head(good.installation, 2, 2, good.revision, good.connectors, good.shards).to_text()
    objects.edit_head(theirs)
    with pytest.raises(Superseded):
        await process.run({"a": A, "b": B})
    assert objects.head is not None
    assert objects.head.data[HEAD_KEY] == theirs


async def test_two_operators_with_one_plan_do_not_write_for_ever() -> None:
    objects = Objects()
    one, two = Process(objects), Process(objects)
    objects.on_event = lambda event: [process.publisher.observe(event) for process in (one, two)]
    wanted: dict[str, Any] = {"a": A}
    await one.run(wanted)
    await two.run(wanted)
    wanted = {"a": A, "b": B}
    for _ in range(3):
        for process in (one, two):
            try:
                await process.run(wanted)
            except PortError:
                continue
    objects.calls.clear()
    for _ in range(3):
        for process in (one, two):
            await process.run(wanted)
    assert objects.writes == []
    assert one.publisher.sequence == two.publisher.sequence == head_of(objects).sequence
