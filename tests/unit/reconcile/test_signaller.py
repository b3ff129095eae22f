"""Signals to pods that are slow, silent, lying, restarting or gone: each costs nobody but itself."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import junctor.reconcile.signaller as module
from junctor.connectormap.messages import Acknowledgement, ReloadSignal
from junctor.gateway.serving.management import BODY_LIMIT
from junctor.net.backoff import Backoff
from junctor.reconcile.ports import MapRejected, Pod, PodUnreachable
from junctor.reconcile.signaller import Signaller
from tests.unit.reconcile.fakes import Pods, pod, until

Answer = Callable[[int], Awaitable[Acknowledgement]]


async def never(sequence: int) -> Acknowledgement:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def unreachable(sequence: int) -> Acknowledgement:
    raise PodUnreachable("connection refused")


def first(*answers: Answer) -> Answer:
    """Answer once with each of these, then acknowledge."""
    left = list(answers)

    async def answer(sequence: int) -> Acknowledgement:
        return await left.pop(0)(sequence) if left else Acknowledgement(sequence, "sha256:")

    return answer


class Changes:
    """What the signaller reports."""

    def __init__(self) -> None:
        self.count = 0
        self.ahead = 0

    def __call__(self) -> None:
        self.count += 1

    def higher(self) -> None:
        self.ahead += 1


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.fixture
def changes() -> Changes:
    return Changes()


@pytest.fixture
async def signaller(pods: Pods, changes: Changes) -> AsyncIterator[Signaller]:
    made = Signaller("default", pods, changes, on_ahead=changes.higher)
    yield made
    await made.close()


def acknowledged(signaller: Signaller) -> dict[str, int | None]:
    return {item.name: item.acknowledged for item in signaller.progress()}


async def test_every_pod_is_told_and_acknowledges(signaller: Signaller, pods: Pods) -> None:
    signaller.set_pods([pod("gw-0"), pod("gw-1")])
    signaller.announce(7)
    await until(lambda: signaller.all_acknowledged(7))
    assert acknowledged(signaller) == {"gw-0": 7, "gw-1": 7}
    assert signaller.highest == 7
    assert pods.peers[-1] == ["gw-0", "gw-1"]


async def test_signal_is_small_enough_for_a_gateway_however_many_pods_have_its_label(signaller: Signaller, pods: Pods) -> None:
    signaller.set_pods([pod(f"{number}-{'n' * 249}") for number in range(300)])
    signaller.announce(7)
    await until(lambda: signaller.all_acknowledged(7))
    assert max(len(json.dumps(ReloadSignal(7, tuple(peers)).to_json())) for peers in pods.peers) < BODY_LIMIT


async def test_gateway_without_pods_has_acknowledged_everything(signaller: Signaller) -> None:
    signaller.announce(7)
    assert signaller.all_acknowledged(7)
    assert signaller.progress() == []


async def test_pod_that_never_answers_delays_no_other(signaller: Signaller, pods: Pods) -> None:
    pods.answers["gw-0"] = never
    signaller.set_pods([pod("gw-0"), pod("gw-1")])
    signaller.announce(7)
    await until(lambda: acknowledged(signaller) == {"gw-0": None, "gw-1": 7})
    assert not signaller.all_acknowledged(7)


async def test_many_pods_that_never_answer_delay_no_other(pods: Pods, changes: Changes) -> None:
    signaller = Signaller("default", pods, changes, deadline=3600.0)
    hanging = [pod(f"a-{number:03d}") for number in range(200)]
    pods.answers.update({item.name: never for item in hanging})
    signaller.set_pods([*hanging, pod("z")])
    signaller.announce(7)
    await until(lambda: acknowledged(signaller)["z"] == 7)
    await signaller.close()


async def test_signals_at_the_same_time_are_bounded(signaller: Signaller, pods: Pods) -> None:
    signaller.set_pods([pod(f"gw-{number}") for number in range(300)])
    signaller.announce(7)
    await until(lambda: signaller.all_acknowledged(7))
    assert pods.most <= 64


async def test_pod_that_does_not_answer_is_asked_again_until_it_does(signaller: Signaller, pods: Pods, changes: Changes) -> None:
    pods.answers["gw-0"] = first(unreachable, unreachable)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.progress()[0].failure)
    assert "refused" in signaller.progress()[0].failure
    await until(lambda: signaller.all_acknowledged(7))
    assert signaller.progress()[0].failure == ""
    assert pods.asked_of("gw-0") == [7, 7, 7]


async def test_retries_come_less_and_less_often(signaller: Signaller, pods: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def pause(follower: object, seconds: float) -> None:
        pauses.append(seconds)
        await asyncio.sleep(0)

    monkeypatch.setattr(signaller, "_pause", pause)
    pods.answers["gw-0"] = first(*[unreachable] * 12)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert all(later > sooner for sooner, later in itertools.pairwise(pauses[:6]))
    assert max(pauses) <= 12.0


async def test_pod_that_acknowledges_less_is_asked_again(signaller: Signaller, pods: Pods) -> None:
    async def older(sequence: int) -> Acknowledgement:
        return Acknowledgement(sequence - 1, "sha256:")

    pods.answers["gw-0"] = first(older)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert len(pods.asked) == 2


async def test_refused_map_is_reported_with_the_reason_and_what_is_served(signaller: Signaller, pods: Pods) -> None:
    async def refuse(sequence: int) -> Acknowledgement:
        raise MapRejected("digest is wrong", 5)

    pods.answers["gw-0"] = first(refuse)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.progress()[0].refusal)
    assert (signaller.progress()[0].refusal, signaller.progress()[0].acknowledged) == ("digest is wrong", 5)
    await until(lambda: signaller.all_acknowledged(7))
    assert signaller.progress()[0].refusal == ""


async def test_rejected_connectors_are_reported(signaller: Signaller, pods: Pods) -> None:
    async def partly(sequence: int) -> Acknowledgement:
        return Acknowledgement(sequence, "sha256:", {"a": "unknown feature"})

    pods.answers["gw-0"] = partly
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert signaller.progress()[0].rejected == {"a": "unknown feature"}


async def test_what_a_silent_pod_served_stays_true(signaller: Signaller, pods: Pods) -> None:
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    pods.answers["gw-0"] = unreachable
    signaller.announce(8)
    await until(lambda: signaller.progress()[0].failure)
    assert signaller.progress()[0].acknowledged == 7


async def test_signal_that_breaks_in_an_unforeseen_way_is_a_pod_that_does_not_answer(signaller: Signaller, pods: Pods) -> None:
    async def broken(sequence: int) -> Acknowledgement:
        raise KeyError("id")

    pods.answers["gw-0"] = first(broken)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert len(pods.asked) == 2


async def test_announcement_during_a_running_signal_is_not_lost(signaller: Signaller, pods: Pods) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(sequence: int) -> Acknowledgement:
        asked.set()
        await answer.wait()
        return Acknowledgement(sequence, "sha256:")

    pods.answers["gw-0"] = first(slow)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await asked.wait()
    signaller.announce(8)
    answer.set()
    await until(lambda: signaller.all_acknowledged(8))
    assert pods.asked_of("gw-0") == [7, 8]


async def test_pod_that_serves_the_sequence_already_is_left_alone(signaller: Signaller, pods: Pods) -> None:
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    signaller.announce(7)
    assert not signaller.set_pods([pod("gw-0")])
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(pods.asked) == 1


async def test_new_pod_is_told_without_a_new_announcement(signaller: Signaller, pods: Pods) -> None:
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert signaller.set_pods([pod("gw-0"), pod("gw-1")])
    await until(lambda: signaller.all_acknowledged(7))
    assert pods.asked_of("gw-0") == [7]


@pytest.mark.parametrize("again", [pod("gw-0", incarnation="2"), pod("gw-0", address="10.0.0.9")], ids=["restart", "address"])
async def test_pod_that_began_anew_has_acknowledged_nothing(signaller: Signaller, pods: Pods, again: Pod) -> None:
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert signaller.set_pods([again])
    assert acknowledged(signaller) == {"gw-0": None}
    await until(lambda: signaller.all_acknowledged(7))


async def test_pod_that_is_gone_is_no_longer_waited_for(signaller: Signaller, pods: Pods) -> None:
    pods.answers["gw-0"] = never
    signaller.set_pods([pod("gw-0"), pod("gw-1")])
    signaller.announce(7)
    await until(lambda: acknowledged(signaller)["gw-1"] == 7)
    assert signaller.set_pods([pod("gw-1")])
    assert signaller.all_acknowledged(7)
    await until(lambda: pods.running == 0)


async def test_change_is_reported_once_for_each_difference(signaller: Signaller, pods: Pods, changes: Changes) -> None:
    pods.answers["gw-0"] = first(unreachable, unreachable, unreachable)
    signaller.announce(7)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.all_acknowledged(7))
    assert changes.count == 2


async def test_survey_finds_the_highest_sequence_and_waits_for_nobody_who_is_silent(signaller: Signaller, pods: Pods) -> None:
    async def served(sequence: int) -> Acknowledgement:
        return Acknowledgement(41, "sha256:")

    async def refuse(sequence: int) -> Acknowledgement:
        raise MapRejected("no map", 43)

    async def broken(sequence: int) -> Acknowledgement:
        raise KeyError("id")

    pods.answers.update({"gw-0": served, "gw-1": refuse, "gw-2": unreachable, "gw-3": broken})
    signaller.set_pods([pod(f"gw-{number}") for number in range(4)])
    await signaller.survey(deadline=1.0)
    assert signaller.highest == 43


async def test_pod_that_serves_more_than_was_ever_announced_is_reported(signaller: Signaller, pods: Pods, changes: Changes) -> None:
    async def served(sequence: int) -> Acknowledgement:
        return Acknowledgement(41, "sha256:")

    pods.answers["gw-0"] = served
    signaller.announce(1)
    signaller.set_pods([pod("gw-0")])
    await until(lambda: signaller.highest == 41)
    assert changes.ahead == 1
    signaller.announce(42)
    for _ in range(10):
        await asyncio.sleep(0)
    assert changes.ahead == 1


async def test_close_ends_every_signal(pods: Pods, changes: Changes) -> None:
    signaller = Signaller("default", pods, changes)
    pods.answers.update({"gw-0": never, "gw-1": unreachable, "gone": never})
    signaller.set_pods([pod("gw-0"), pod("gw-1"), pod("gw-2"), pod("gone")])
    signaller.announce(7)
    await until(lambda: acknowledged(signaller)["gw-2"] == 7)
    signaller.set_pods([pod("gw-0"), pod("gw-1"), pod("gw-2")])
    await signaller.close()
    assert pods.running == 0
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("signal ")] == []


@pytest.mark.parametrize("steps", range(6))
async def test_cancelled_pause_before_a_retry_ends_although_news_came_at_the_same_time(pods: Pods, changes: Changes, steps: int) -> None:
    signaller = Signaller("default", pods, changes, backoff=Backoff(first=0.0, last=0.0))
    follower = module._Follower(pod("gw-0"))
    task = asyncio.create_task(signaller._pause(follower, 3600.0))
    for _ in range(5):
        await asyncio.sleep(0)
    follower.is_due.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    ended = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert ended or task.cancelled()
