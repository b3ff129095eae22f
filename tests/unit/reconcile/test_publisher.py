"""The writer of a map: whatever happens between two steps, readers see the old or the new map, and the next pass finishes the work."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from junctor.connectormap.credentials import credential_object, credential_version, reference_hash
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY, Head
from junctor.planning.inputs import Inputs, Published
from junctor.planning.plan import GatewayPlan, PlanCache, PlanMemory, plan_gateway
from junctor.reconcile.ports import Conflict, ForeignMap, PortError, Superseded, Unavailable
from junctor.reconcile.publisher import MapPublisher
from junctor.reconcile.stored_map import ObjectEvent
from tests.support.entries import content_of
from tests.unit.planning.building import KEY, bearer, connector, gateway, secret
from tests.unit.reconcile.fakes import INSTALLATION, MAP, Objects, Reader, head_of

#: Each write of a pass: the process dies before it, or once it is done.
WRITES = ["add_credentials", "create_shard", "write_head", "delete_shard", "remove_credentials"]


class Crash(BaseException):
    """The process ends here."""


def credential(value: bytes, name: str = "token") -> str:
    return f"{reference_hash('team-a', name, 'value')}.{credential_version(KEY, value)}"


class Process:
    """An operator process as far as one map is concerned. `tokens`: values of the Secrets that connectors name, by Secret."""

    def __init__(self, objects: Objects) -> None:
        self.objects = objects
        self.memory = PlanMemory()
        self.cache = PlanCache()
        self.publisher = MapPublisher(gateway(), objects)
        self.floor = 0
        self.plan: GatewayPlan | None = None

    async def run(self, connectors: Mapping[str, Mapping[str, Any]], tokens: Mapping[str, bytes] | None = None) -> bool:
        """One pass: plan, publish, clean up. connectors: spec by name."""
        tokens = tokens or {}
        resources = [connector(name, **spec) for name, spec in connectors.items()]
        secrets = {key: versions for name, value in tokens.items() for key, versions in secret(name, value=value).items()}
        inputs = Inputs({item.uid: item for item in resources}, secrets=secrets, deleted=frozenset(f"uid-team-a-{n}" for n in "abcdefgh"))
        values = {credential(value, name): value for name, value in tokens.items()}
        if self.plan is None:
            await self.publisher.load()
        self.plan = plan_gateway(gateway(), inputs, self.publisher.published, self.memory, 1000.0, self.cache)
        self.memory = self.plan.memory
        try:
            written = await self.publisher.publish(self.plan, values, sequence_floor=self.floor)
            await self.publisher.clean_up(self.plan)
        finally:
            self.publisher.end_pass()
        return written


def watched(objects: Objects, process: Process) -> None:
    """Let the process hear of what happens to the objects."""
    objects.on_event = process.publisher.observe


async def map_of(objects: Objects) -> dict[str, dict[str, Any]]:
    reader = Reader(objects)
    current = await reader.read()
    assert current is not None
    assert not reader.missing_credentials()
    return {key: content_of(entry) for key, entry in current.entries.items()}


async def urls(objects: Objects) -> dict[str, str]:
    return {key: content["url"] for key, content in (await map_of(objects)).items()}


A: dict[str, Any] = {"url": "https://a.example.com/mcp"}
B: dict[str, Any] = {"url": "https://b.example.com/mcp"}
SECURED: dict[str, Any] = {"url": "https://s.example.com/mcp", "auth": bearer()}
TOKEN = {"token": b"one"}


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


def failing(*calls: str, error: PortError | None = None) -> Callable[[str], None]:
    """A fault of these calls, for ever."""

    def fault(call: str) -> None:
        if call in calls:
            raise error or Unavailable(f"{call} does not work")

    return fault


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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


async def test_published_is_what_the_map_holds() -> None:
    objects = Objects()
    process = Process(objects)
    assert process.publisher.published == Published()
    await process.run({"a": A})
    assert set(process.publisher.published.entries) == set(process.publisher.published.origins) == {"a"}
    assert process.publisher.stored_head == objects.head
