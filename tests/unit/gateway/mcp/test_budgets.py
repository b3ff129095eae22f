"""What a server may cost is counted before it costs anything."""

import asyncio
import itertools
import json

import pytest

from junctor.gateway.mcp.budgets import Allowance, Flood, InFlight, Meter, OverBudget, Pace, Quota, Setback, Unasked, values_of_events
from junctor.net.backoff import Backoff

MIB = 1024 * 1024


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def test_the_answers_of_an_exchange_are_counted_together() -> None:
    meter = Meter(Allowance(100, 10))
    meter.add_piece(60)
    await meter.add_text(b"[1,2,3,4,5]")
    with pytest.raises(OverBudget, match="more than 100 bytes"):
        meter.add_piece(60)
    await meter.add_text(b"[1,2,3,4,5]")
    with pytest.raises(OverBudget, match="more than 10 values"):
        await meter.add_text(json.dumps([1] * 300).encode())


async def test_commas_in_long_texts_are_no_values() -> None:
    await Meter(Allowance(MIB, 10)).add_text(json.dumps({"text": "a, [b], {c}\n" * 10_000}).encode())


def test_an_answer_has_no_more_pieces_than_its_bytes_deserve() -> None:
    meter = Meter(Allowance(MIB, 10))
    for _ in range(2000):
        meter.add_piece(1)
    for _ in range(7):
        meter.add_piece(1)
    with pytest.raises(OverBudget, match="pieces"):
        meter.add_piece(1)
    for _ in range(100):
        meter.add_piece(1400)


def test_the_bytes_of_all_exchanges_of_a_connector_are_bounded_until_they_are_over() -> None:
    in_flight = InFlight(MIB)
    meters = [Meter(Allowance(16 * MIB, 10), in_flight) for _ in range(3)]
    for meter in meters[:2]:
        meter.add_piece(15 * MIB)
    with pytest.raises(OverBudget, match="at one time"):
        meters[2].add_piece(7 * MIB)
    meters[0].close()
    meters[2].add_piece(MIB)


async def test_values_wait_until_others_were_used() -> None:
    in_flight = InFlight(MIB)
    first, second = (Meter(Allowance(MIB, 100_000), in_flight) for _ in range(2))
    await first.add_text(b"0," * 90_000)
    waiting = asyncio.create_task(second.add_text(b"0," * 90_000))
    await asyncio.sleep(0)
    assert not waiting.done()
    first.release()
    await waiting
    second.close()
    await first.add_text(b"0," * 10_000)


async def test_one_result_of_the_largest_size_is_always_possible() -> None:
    size = 16 * MIB
    meter = Meter(Allowance.of_call(size), InFlight(size))
    meter.add_piece(2 * size)
    await meter.add_text(b"0," * (size // 10 - 1))


async def test_what_comes_after_the_end_is_not_held() -> None:
    in_flight = InFlight(MIB)
    closed = Meter(Allowance(MIB, 100_000), in_flight)
    closed.close()
    closed.add_piece(MIB)
    await closed.add_text(b"0," * 90_000)
    async with asyncio.timeout(30):
        await Meter(Allowance(MIB, 100_000), in_flight).add_text(b"0," * 90_000)


@pytest.mark.parametrize(
    ("events", "values"),
    [
        (b"data: [1,2]\n\n" * 1000, 2000),
        (b'data: "[,,,\n\n' * 1000, 0),
        (b'id: "\ndata: [[[\n\n' * 1000, 3000),
        (b'data: ["\r\ndata: [1,2]\r\n\r\n' * 1000, 3000),
        (b'data: "a,\\",b,"\n\n' * 1000, 0),
    ],
)
def test_an_odd_quote_of_one_line_hides_nothing_of_the_next(events: bytes, values: int) -> None:
    assert values_of_events(events, 10**9) == values


def test_a_quota_fills_with_time_up_to_its_capacity() -> None:
    clock = Clock()
    quota = Quota(10, 1, clock=clock)
    assert quota.take(10)
    assert not quota.take(1)
    clock.now += 2
    assert quota.take(2)
    quota.give(100)
    assert not quota.take(11)
    assert quota.take(10)


def test_each_request_adds_what_its_answer_needs() -> None:
    unasked = Unasked()
    for _ in range(5000):
        unasked.expect_answer()
        unasked.add_piece(b'event: message\ndata: {"jsonrpc":"2.0"}\n\n', belongs_to_request=True)
    with pytest.raises(Flood):
        unasked.add_piece(b"data: {}\n\n" * 1200, belongs_to_request=True)


def test_bytes_on_a_stream_of_no_request_are_bounded_unless_an_answer_is_awaited() -> None:
    unasked = Unasked()
    unasked.expect_answer(3 * MIB)
    for _ in range(40):
        unasked.add_piece(b"x" * 100_000, belongs_to_request=False)
    with pytest.raises(Flood, match="bytes"):
        unasked.add_piece(b"x" * 1_000_000, belongs_to_request=False)


def test_few_requests_of_a_server_are_answered() -> None:
    unasked = Unasked()
    for _ in range(20):
        unasked.add_reply()
    with pytest.raises(Flood, match="messages"):
        unasked.add_piece(b"data: {}\n\n" * 800, belongs_to_request=False)


async def test_the_pace_slows_down_while_requests_follow_quickly() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(Backoff(0.02, 0.05, jitter=0.0), calm=60)
    times = []
    for _ in range(5):
        await pace.wait()
        times.append(loop.time())
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, [0.019, 0.039, 0.049, 0.049], strict=True))
    assert pace.quick == 4


async def test_a_stream_that_lasted_is_asked_for_at_once() -> None:
    pace = Pace(Backoff(60, 60, jitter=0.0), calm=0.0)
    async with asyncio.timeout(30):
        await pace.wait()
        await pace.wait()
    assert pace.quick == 0


def test_what_failed_once_is_tried_again_and_what_fails_on_waits() -> None:
    clock = Clock()
    setback = Setback[str](clock)
    setback.record("one")
    assert setback.current() is None
    for pause in (1, 2, 4, 8, 16, 32, 60, 60):
        setback.record("more")
        clock.now += pause - 0.5
        assert setback.current() == "more"
        clock.now += 0.5
        assert setback.current() is None
    clock.now += 61
    setback.record("later")
    assert setback.current() is None
    setback.record("again")
    setback.clear()
    assert setback.current() is None
