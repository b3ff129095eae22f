"""The writer of a map knows its own writes from others' in the watch, and makes up for calls that fail."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from junctor.reconcile.ports import Conflict, PortError, Unavailable
from junctor.reconcile.stored_map import ObjectEvent
from tests.unit.reconcile.fakes import MAP, Objects, head_of
from tests.unit.reconcile.publishing import SECURED, TOKEN, A, B, Process, credential, failing, map_of, urls, watched

# --- events -------------------------------------------------------------------------------------------------------------------------


async def test_echo_of_an_own_write_is_no_news() -> None:
    objects = Objects()
    process = Process(objects)
    news: list[bool] = []
    objects.on_event = lambda event: news.append(process.publisher.observe(event))
    await process.run({"a": SECURED}, {"token": b"one"})
    await process.run({"a": SECURED}, {"token": b"two"})
    assert news
    assert not any(news)
    assert not process.publisher.end_pass()


async def test_late_echo_of_a_shard_that_was_removed_since_is_no_news() -> None:
    objects = Objects()
    process = Process(objects)
    late: list[ObjectEvent] = []
    objects.on_event = late.append
    await process.run({"a": A})
    await process.run({"a": {"url": "https://new.example.com/mcp"}})
    assert [event for event in late if process.publisher.observe(event)] == []


async def test_change_by_somebody_else_during_a_pass_is_judged_at_its_end() -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A})
    assert process.plan is not None
    await process.publisher.publish(process.plan, {})
    assert not process.publisher.observe(ObjectEvent(MAP, "another uid", 99, False))
    assert process.publisher.end_pass()


# --- faults -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["installation", "read_head", "list_shards", "list_credentials", "add_credentials", "create_shard", "write_head"]
)
@pytest.mark.parametrize("error", [Unavailable("503"), Conflict("409")], ids=["unavailable", "conflict"])
async def test_call_that_fails_is_a_failure_of_this_pass_and_is_made_up_for(call: str, error: PortError) -> None:
    objects = Objects()
    process = Process(objects)
    await process.run({"a": A})
    before = await urls(objects)
    process.publisher.objects_changed()
    objects.fault = failing(call, error=error)
    with pytest.raises(type(error)):
        await process.run({"a": A, "s": SECURED}, TOKEN)
    assert process.publisher.failure is not None
    assert await urls(objects) == before
    objects.fault = lambda _: None
    await process.run({"a": A, "s": SECURED}, TOKEN)
    assert set(await map_of(objects)) == {"a", "s"}
    assert process.publisher.failure is None


async def test_many_shards_that_cannot_be_written_are_one_failure() -> None:
    objects = Objects(fault=failing("create_shard"))
    many = {f"c{n}": {"url": A["url"], "description": "x" * 4000} for n in range(80)}
    with pytest.raises(Unavailable):
        await Process(objects).run(many)


_PLANS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["plain", "other", "secured"]), max_size=6),
        st.sampled_from([b"one", b"two", b"three"]),
        st.sets(st.integers(0, 14), max_size=4),
        st.booleans(),
        st.sampled_from(["", "head", "shard", "secret", "no head"]),
    ),
    min_size=1,
    max_size=6,
)
_SPECS: dict[str, dict[str, Any]] = {"plain": A, "other": B, "secured": SECURED}


@settings(max_examples=150)
@given(_PLANS)
async def test_any_plans_and_faults_converge_to_the_last_plan_and_are_readable_at_each_step(steps: Any) -> None:
    objects = Objects()
    process = Process(objects)
    watched(objects, process)
    allowed: list[set[str]] = []
    sequences: list[int] = []

    async def look(call: str) -> None:
        if objects.head is not None and not damaged:
            assert set(await map_of(objects)) in allowed
            sequences.append(head_of(objects).sequence)

    objects.after = look
    for chosen, token, faults, restart, damage in steps:
        wanted = {name: _SPECS[kind] for name, kind in chosen.items()}
        allowed.append(set(wanted))
        damaged = _damage(objects, damage)
        numbers = iter(range(1000))

        def fault(call: str, numbers: Any = numbers, faults: Any = faults) -> None:
            if next(numbers) in faults:
                raise Unavailable(call)

        objects.fault = fault
        if restart:
            process = Process(objects)
            watched(objects, process)
        for _ in range(12):
            process.floor = max(sequences, default=0)
            try:
                await process.run(wanted, {"token": token})
                break
            except PortError:
                continue
        else:
            pytest.fail("does not converge")
        damaged = False
        assert await urls(objects) == {name: spec["url"] for name, spec in wanted.items()}
        assert set(objects.shards) == {ref.name for ref in head_of(objects).shards}
        assert head_of(objects).sequence >= max(sequences, default=0)
        needed = {credential(token)} if any(kind == "secured" for kind in chosen.values()) else set()
        assert {key for held in objects.secrets.values() for key in held} == needed
    assert sequences == sorted(sequences)


def _damage(objects: Objects, what: str) -> bool:
    """Break something by hand; True when that was possible."""
    if what == "head" and objects.head:
        objects.edit_head("broken")
    elif what == "no head" and objects.head:
        objects.delete_head()
    elif what == "shard" and objects.shards:
        objects.remove_shard(next(iter(objects.shards)))
    elif what == "secret" and objects.secrets:
        objects.remove_secret(next(iter(objects.secrets)))
    else:
        return False
    return True
