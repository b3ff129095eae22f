"""The writer of a map: whatever happens between two steps, readers see the old or the new map, and the next pass finishes the work."""

from typing import Any

import pytest

from junctor.connectormap.credentials import credential_object
from junctor.planning.inputs import Published
from junctor.reconcile.ports import Conflict, PortError, Unavailable
from tests.unit.reconcile.fakes import INSTALLATION, MAP, Objects, head_of
from tests.unit.reconcile.publishing import SECURED, TOKEN, WRITES, A, B, Crash, Process, credential, failing, map_of, urls

# --- what is written, and in which order --------------------------------------------------------------------------------------------


async def test_credentials_are_written_before_shards_and_the_head_last() -> None:
    objects = Objects()
    assert await Process(objects).run({"a": SECURED}, TOKEN)
    assert objects.writes == ["add_credentials", "create_shard", "write_head"]


async def test_first_head_names_installation_epoch_and_sequence() -> None:
    objects = Objects()
    await Process(objects).run({"a": A})
    head = head_of(objects)
    assert (head.installation, head.epoch, head.sequence, head.connectors) == (INSTALLATION, 1, 1, 1)


async def test_nothing_to_publish_makes_an_empty_map() -> None:
    objects = Objects()
    assert await Process(objects).run({})
    assert await map_of(objects) == {}


async def test_equal_plan_writes_nothing() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": SECURED, "b": B}, TOKEN)
    objects.calls.clear()
    assert not await process.run({"a": SECURED, "b": B}, TOKEN)
    assert objects.calls == []


async def test_equal_plan_of_a_new_process_writes_nothing() -> None:
    objects = Objects()
    await Process(objects).run({"a": SECURED, "b": B}, TOKEN)
    objects.calls.clear()
    assert not await Process(objects).run({"a": SECURED, "b": B}, TOKEN)
    assert objects.writes == []


async def test_changed_connector_is_dated_with_the_new_sequence_and_the_others_are_not() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A, "b": B})
    await process.run({"a": {"url": "https://new.example.com/mcp"}, "b": B})
    assert {key: entry["since"] for key, entry in (await map_of(objects)).items()} == {"a": 2, "b": 1}


async def test_rotated_credential_is_published_and_the_old_one_removed() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": SECURED}, {"token": b"one"})
    await process.run({"a": SECURED}, {"token": b"two"})
    assert (await map_of(objects))["a"]["auth"]["bearer"]["credential"] == credential(b"two")
    assert objects.secrets[credential_object(credential(b"two"))] == {credential(b"two"): b"two"}


async def test_clean_up_removes_only_what_the_head_does_not_need() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A, "s": SECURED}, TOKEN)
    objects.replace_shard(f"{MAP}-0-000000000000", "left over")
    process.publisher.objects_changed()
    await process.run({"a": A, "s": SECURED}, TOKEN)
    assert set(objects.shards) == {ref.name for ref in head_of(objects).shards}
    assert set(await map_of(objects)) == {"a", "s"}


async def test_plan_that_could_not_be_published_takes_no_credential_from_the_published_one() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": SECURED}, {"token": b"one"})
    objects.fault = failing("write_head")
    with pytest.raises(PortError):
        await process.run({"a": SECURED}, {"token": b"two"})
    objects.fault = lambda call: None
    assert process.plan is not None
    await process.publisher.clean_up(process.plan)
    process.publisher.end_pass()
    assert (await map_of(objects))["a"]["auth"]["bearer"]["credential"] == credential(b"one")


async def test_clean_up_that_meets_a_conflict_reads_again_and_succeeds_at_the_next_pass() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": SECURED}, {"token": b"one"})
    number = credential_object(credential(b"one"))
    objects.set_secret(number, {**objects.secrets[number], "odd.key": b"x"})
    with pytest.raises(Conflict):
        await process.run({"a": A})
    await process.run({"a": A})
    assert objects.secrets == {}


# --- crashes ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("write", WRITES)
async def test_process_that_dies_at_any_step_leaves_a_whole_map_and_the_next_one_converges(write: str, is_done: bool) -> None:
    objects = Objects()
    old: dict[str, Any] = {"s": SECURED, "a": A}
    new = {"s": SECURED, "b": B}
    await Process(objects).run(old, {"token": b"one"})
    before, seen = await urls(objects), []

    async def look(call: str) -> None:
        seen.append(await urls(objects))
        if call == write and is_done:
            raise Crash

    def crash(call: str) -> None:
        if call == write and not is_done:
            raise Crash

    objects.after, objects.fault = look, crash
    with pytest.RaisesGroup(Crash, allow_unwrapped=True, flatten_subgroups=True):
        await Process(objects).run(new, {"token": b"two"})
    objects.after, objects.fault = None, lambda call: None
    await Process(objects).run(new, {"token": b"two"})
    after = await urls(objects)
    assert set(after) == {"s", "b"}
    assert all(state in (before, after) for state in seen)
    assert set(objects.shards) == {ref.name for ref in head_of(objects).shards}
    assert [set(held) for held in objects.secrets.values()] == [{credential(b"two")}]


async def test_first_publication_that_dies_before_the_head_is_finished_by_the_next_process() -> None:
    objects = Objects()

    def crash(call: str) -> None:
        if call == "write_head":
            raise Crash

    objects.fault = crash
    with pytest.raises(Crash):
        await Process(objects).run({"a": A})
    assert objects.head is None
    objects.fault = lambda call: None
    await Process(objects).run({"a": A})
    assert set(await map_of(objects)) == {"a"}


async def test_head_that_was_written_although_the_answer_was_lost_is_followed_by_a_higher_one() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A})

    async def lose(call: str) -> None:
        if call == "write_head":
            raise Unavailable("the connection broke after the request")

    objects.after = lose
    with pytest.raises(Unavailable):
        await process.run({"a": A, "b": B})
    objects.after = None
    sequence = head_of(objects).sequence
    await process.run({"a": A, "b": B})
    assert set(await map_of(objects)) == {"a", "b"}
    assert head_of(objects).sequence >= sequence


async def test_published_is_what_the_map_holds() -> None:
    objects = Objects()
    process = Process(objects)
    assert process.publisher.published == Published()
    await process.run({"a": A})
    assert set(process.publisher.published.entries) == set(process.publisher.published.origins) == {"a"}
    assert process.publisher.stored_head == objects.head
