"""Statuses and Events are written beside the loop: the latest wins, and one that cannot be written is nobody else's trouble."""

import asyncio
import logging
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest

from junctor.api.conditions import Finding, Reason
from junctor.net.backoff import Backoff
from junctor.planning.statuses import StatusUpdate, Transition
from junctor.reconcile.event_budget import EventBudget
from junctor.reconcile.ports import ObjectReference, Unavailable
from junctor.reconcile.status_queue import StatusQueue
from tests.unit.planning.building import connector
from tests.unit.reconcile.fakes import Sink, until

A = ObjectReference.of(connector("a"))


def update(name: str, say: str = "", *transitions: Transition) -> StatusUpdate:
    return StatusUpdate(connector(name), {"connectorID": say or name, "conditions": []}, transitions)


def said(sink: Sink, name: str) -> list[Any]:
    return [item.status["connectorID"] for item in sink.statuses if item.resource.name == name]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
async def queue(sink: Sink) -> AsyncIterator[StatusQueue]:
    made = StatusQueue(sink, backoff=Backoff(first=0.01, last=30.0))
    made.start()
    yield made
    await made.close()


@pytest.fixture
async def patient_queue(sink: Sink) -> AsyncIterator[StatusQueue]:
    """A queue whose retries come later than any test waits."""
    made = StatusQueue(sink, backoff=Backoff(first=3600.0, last=3600.0))
    made.start()
    yield made
    await made.close()


async def test_status_is_written(queue: StatusQueue, sink: Sink) -> None:
    queue.put(update("a"))
    await until(lambda: said(sink, "a") == ["a"])


async def test_latest_status_wins_over_those_that_still_wait(queue: StatusQueue, sink: Sink) -> None:
    for number in range(5):
        queue.put(update("a", str(number)))
    queue.put(update("b"))
    await until(lambda: said(sink, "b"))
    assert said(sink, "a") == ["4"]


async def test_status_that_comes_during_the_write_of_an_older_one_is_written_after_it(queue: StatusQueue, sink: Sink) -> None:
    sink.fault = lambda item: queue.put(update("a", "second")) if not sink.statuses and len(sink.attempts) == 1 else None
    queue.put(update("a", "first"))
    await until(lambda: len(sink.statuses) == 2)
    assert said(sink, "a") == ["first", "second"]


async def test_status_that_cannot_be_written_is_tried_again(queue: StatusQueue, sink: Sink) -> None:
    def fault(item: StatusUpdate) -> None:
        if len(sink.attempts) < 3:
            raise Unavailable("503")

    sink.fault = fault
    queue.put(update("a"))
    await until(lambda: said(sink, "a") == ["a"])
    assert len(sink.attempts) == 3


async def test_newer_status_replaces_one_that_waits_for_its_retry(patient_queue: StatusQueue, sink: Sink) -> None:
    queue = patient_queue

    def fault(item: StatusUpdate) -> None:
        if item.status["connectorID"] == "old":
            raise Unavailable("503")

    sink.fault = fault
    queue.put(update("a", "old"))
    await until(lambda: sink.attempts)
    queue.put(update("a", "new"))
    await until(lambda: said(sink, "a") == ["new"])


async def test_status_that_came_during_a_failing_write_is_not_replaced_by_the_failed_one(queue: StatusQueue, sink: Sink) -> None:
    def fault(item: StatusUpdate) -> None:
        if item.status["connectorID"] == "old":
            queue.put(update("a", "new"))
            raise Unavailable("503")

    sink.fault = fault
    queue.put(update("a", "old"))
    await until(lambda: said(sink, "a") == ["new"])
    assert sink.attempts == ["a", "a"]


@pytest.mark.parametrize("error", [Unavailable("403"), KeyError("metadata")], ids=["refused", "unforeseen"])
async def test_resources_whose_status_can_never_be_written_block_no_other(patient_queue: StatusQueue, sink: Sink, error: Exception) -> None:
    queue = patient_queue

    def fault(item: StatusUpdate) -> None:
        if item.resource.name.startswith("bad"):
            raise error

    sink.fault = fault
    for number in range(50):
        queue.put(update(f"bad-{number}"))
    queue.put(update("good"))
    await until(lambda: said(sink, "good"))


async def test_retries_of_one_resource_come_less_and_less_often(sink: Sink) -> None:
    queue, loop, times = StatusQueue(sink, backoff=Backoff(first=0.004, last=1.0)), asyncio.get_running_loop(), []

    def fault(item: StatusUpdate) -> None:
        times.append(loop.time())
        raise Unavailable("503")

    sink.fault = fault
    queue.start()
    queue.put(update("a"))
    await until(lambda: len(times) == 7)
    await queue.close()
    pauses = [after - before for before, after in pairwise(times)]
    assert all(pause >= 0.8 * 0.004 * 2**number for number, pause in enumerate(pauses))


async def test_event_marks_the_transitions_of_a_written_status(queue: StatusQueue, sink: Sink) -> None:
    ready = Transition("Ready", "Unknown", Finding("True", Reason.READY, "served by 1 of 1 pods"))
    queue.put(update("a", "", ready))
    await until(lambda: sink.events)
    regarding, warning, reason, message = sink.events[0]
    assert (regarding.kind, regarding.name, regarding.uid) == ("MCPConnector", "a", "uid-team-a-a")
    assert (warning, reason, message) == (False, "Ready", "Ready Unknown -> True: served by 1 of 1 pods")


async def test_event_of_a_failure_is_a_warning_and_tells_the_failure(queue: StatusQueue, sink: Sink) -> None:
    accepted = Transition("Accepted", "True", Finding("False", Reason.ID_CONFLICT, "belongs to another"))
    ready = Transition("Ready", "True", Finding("Unknown", Reason.NOT_PROGRAMMED))
    queue.put(update("a", "", accepted, ready))
    await until(lambda: sink.events)
    assert sink.events[0][1:3] == (True, "IDConflict")


async def test_status_without_transitions_makes_no_event(queue: StatusQueue, sink: Sink) -> None:
    queue.put(update("a"))
    await until(lambda: sink.statuses)
    assert sink.events == []


async def test_events_beyond_the_backlog_are_dropped_and_logged(sink: Sink, caplog: pytest.LogCaptureFixture) -> None:
    queue = StatusQueue(sink, event_backlog=2)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            queue.event(A, warning=False, reason="R", message=f"number {number}")
    assert "number 2" in caplog.text
    queue.start()
    await until(lambda: len(sink.events) == 2)
    await queue.close()


async def test_flood_of_events_of_one_namespace_ends_and_keeps_no_others_waiting(queue: StatusQueue, sink: Sink) -> None:
    other = ObjectReference.of(connector("b", namespace="team-b"))
    for number in range(5000):
        queue.event(A, warning=True, reason="SecretNotFound", message=f"flip {number}")
    queue.event(A, warning=True, reason="IDChangedNamespace", message="rare")
    queue.event(other, warning=True, reason="SecretNotFound", message="of another")
    await until(lambda: sink.events and sink.events[-1][0] == other)
    assert len(sink.events) == 1002
    assert sink.events[-2][3] == "rare"


def test_budget_of_events_fills_again_and_keeps_nothing_of_quiet_namespaces() -> None:
    budget = EventBudget()
    assert sum(budget.take("noisy", "Ready", 0.0) for _ in range(3000)) == 1000
    assert sum(budget.take("noisy", "Ready", 60.0) for _ in range(3000)) == 30
    assert all(budget.take(f"namespace-{number}", "Ready", 60.0 + number) for number in range(20_000))
    assert len(budget) < 1200


@pytest.mark.parametrize("error", [Unavailable("503"), KeyError("metadata")], ids=["refused", "unforeseen"])
async def test_event_that_cannot_be_posted_holds_up_no_other(
    queue: StatusQueue, sink: Sink, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = sink.post_event

    async def post_event(regarding: Any, *, warning: bool, reason: str, message: str) -> None:
        if message == "bad":
            raise error
        await post(regarding, warning=warning, reason=reason, message=message)

    monkeypatch.setattr(sink, "post_event", post_event)
    queue.event(A, warning=False, reason="R", message="bad")
    queue.event(A, warning=False, reason="R", message="good" * 1000)
    await until(lambda: sink.events)
    assert len(sink.events[0][3]) == 1000


async def test_close_ends_writers_and_retries(sink: Sink) -> None:
    def fault(item: StatusUpdate) -> None:
        raise Unavailable("503")

    sink.fault = fault
    queue = StatusQueue(sink)
    queue.start()
    queue.put(update("a"))
    await until(lambda: sink.attempts)
    await queue.close()
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
