"""The registry client and registries that fail: what is asked for again, after which pause, and what is said in the end."""

import gzip
import zlib
from datetime import timedelta
from email.utils import format_datetime

import pytest

from junctor.registry.client import RegistryClient
from junctor.registry.errors import (
    NotARegistry,
    QueryRefused,
    RegistryError,
    RegistryRateLimited,
    RegistryUnauthorized,
    RegistryUnreachable,
    SyncTimeout,
)
from tests.support.fake_registry import Cut, Drip, FakeRegistry, Fault, Slow, Stall, Status
from tests.support.ports import free_port
from tests.unit.registry.asking import LIST, NOW, PATIENCE, ROWS, Pauses, ask, times

# --- what passes, and what stays


@pytest.mark.parametrize(
    "fault",
    [
        Status(500),
        Status(503, b"<html>maintenance</html>", "text/html"),
        Status(408),
        Status(429),
        Status(200, b'{"servers":[{"ser'),
        Status(200, b"\x1f\x8bgarbage", headers={"content-encoding": "gzip"}),
        Status(200, gzip.compress(LIST, mtime=0)[:-12], headers={"content-encoding": "gzip"}),
        Cut(),
        Cut(40),
    ],
    ids=lambda fault: str(fault)[:60],
)
async def test_a_page_is_asked_for_again_with_growing_pauses(fault: Fault) -> None:
    pauses = Pauses()
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(3, fault)
        page = await ask(registry.url, retries=3, pauses=pauses)
    assert (len(page.records), page.requests, pauses.taken) == (3, 4, [1.0, 2.0, 4.0])


@pytest.mark.parametrize("fault", [Stall(), Stall(after=40), Drip(seconds=0.05)])
async def test_a_page_that_does_not_end_in_time_is_asked_for_again(fault: Fault) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, fault)
        async with RegistryClient(registry.url, timeout=PATIENCE, clock=Pauses()) as client:
            page = await client.page()
            assert (len(page.records), page.requests) == (3, 2)
            registry.fault = lambda _: fault
        async with RegistryClient(registry.url, timeout=PATIENCE, retries=1, clock=Pauses()) as client:
            with pytest.raises(SyncTimeout, match=r"did not answer completely within 0\.5 s"):
                await client.page()


async def test_a_slow_answer_within_the_time_is_taken() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = lambda _: Slow(0.2)
        assert len((await ask(registry.url)).records) == 3


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (Status(401), RegistryUnauthorized, "HTTP 401"),
        (Status(403, b"<h1>No</h1>", "text/html"), RegistryUnauthorized, r"HTTP 403 \(text/html, 11 bytes\)$"),
        (Status(404, b"", ""), NotARegistry, "HTTP 404 without a body"),
        (Status(405), NotARegistry, "HTTP 405"),
        (Status(204, b""), NotARegistry, "HTTP 204"),
        (Status(400, b'{"detail":"bad cursor"}'), QueryRefused, r"HTTP 400 \(application/json, 23 bytes\)$"),
        (Status(422), QueryRefused, "HTTP 422"),
        (Status(200, b"<html><title>Welcome</title>", "text/html"), NotARegistry, r"text/html that is not JSON \(28 bytes\)$"),
        (Status(200, b"[]"), NotARegistry, "no list of servers"),
        (Status(200, b'"servers"'), NotARegistry, "no list of servers"),
        (Status(200, b'{"items":[]}'), NotARegistry, r"no list of servers \(application/json, 12 bytes\)$"),
        (Status(200, b'{"servers":{}}'), NotARegistry, "no list of servers"),
        (Status(200, b'{"servers":null}'), NotARegistry, "no list of servers"),
        (Status(200, b'{"servers":[],"metadata":{"nextCursor":{"$ref":"x"}}}'), NotARegistry, "cursor"),
        (Status(200, b'{"servers":[],"metadata":{"nextCursor":"%s"}}' % (b"x" * 5000)), NotARegistry, "cursor"),
        (Status(200, LIST, headers={"content-encoding": "br"}), RegistryError, "compressed its answer with 'br'"),
        (Status(200, LIST, headers={"content-encoding": "gzip, gzip"}), RegistryError, "compressed its answer"),
        (Status(200, b'{"servers":[' + b"[]," * 110_000 + b"[]]}"), RegistryError, "more than 100000 values"),
        (Status(200, b" " * (33 << 20)), RegistryError, "more than 32 MiB"),
        (Status(200, zlib.compress(bytes(64 << 20), wbits=31), headers={"content-encoding": "gzip"}), RegistryError, "more than 32 MiB"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_another_attempt_would_not_change_is_said_at_once(fault: Fault, error: type[RegistryError], message: str) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = lambda _: fault
        with pytest.raises(error, match=message) as caught:
            await ask(registry.url, retries=3)
        assert len(registry.requests) == 1
    assert type(caught.value) is error
    assert registry.url in str(caught.value)


async def test_what_calls_itself_json_and_never_is_ends_as_no_registry() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, b'{"servers":[{"ser')
        with pytest.raises(NotARegistry, match="application/json that is not JSON"):
            await ask(registry.url, retries=2)
        assert len(registry.requests) == 3


async def test_a_registry_that_stays_broken_says_how() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(502, b'{"detail":"no database"}')
        with pytest.raises(RegistryError, match=r"HTTP 502 \(application/json, 24 bytes\)$") as caught:
            await ask(registry.url, retries=2)
        assert len(registry.requests) == 3
    assert caught.value.reason == "RegistryError"
    assert caught.value.excerpt == '{"detail":"no database"}'


# --- too many requests


@pytest.mark.parametrize(
    ("retry_after", "pause"),
    [
        ("7", 7.0),
        ("0.5", 1.0),
        ("60", 60.0),
        (format_datetime(NOW + timedelta(seconds=30), usegmt=True), 30.0),
        (format_datetime(NOW - timedelta(days=1), usegmt=True), 1.0),
        ("soon", 1.0),
        ("-5", 1.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_registry_says_how_long_to_wait(status: int, retry_after: str, pause: float) -> None:
    pauses = Pauses()
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, Status(status, headers={"retry-after": retry_after}))
        await ask(registry.url, retries=1, pauses=pauses)
    assert pauses.taken == [pause]


@pytest.mark.parametrize(("asked", "told"), [("61", 61.0), ("999999", 3600.0)])
async def test_a_long_wait_is_left_to_the_next_sync(asked: str, told: float) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = lambda _: Status(429, headers={"retry-after": asked})
        with pytest.raises(RegistryRateLimited, match="too many requests") as caught:
            await ask(registry.url, retries=5)
        assert len(registry.requests) == 1
    assert caught.value.retry_after == told


async def test_a_registry_that_has_not_answered_at_all_is_given_up_sooner() -> None:
    pauses = Pauses()
    with pytest.raises(RegistryUnreachable):
        await ask(f"http://127.0.0.1:{free_port()}", retries=5, first_retries=2, pauses=pauses)
    assert pauses.taken == [1.0, 2.0]


async def test_a_registry_that_has_answered_gets_all_retries() -> None:
    pauses = Pauses()
    with FakeRegistry(ROWS) as registry:
        client = RegistryClient(registry.url, page_size=1, retries=4, first_retries=0, clock=pauses)
        async with client:
            first = await client.page()
            registry.fault = times(5, Status(503))  # the first one was answered
            await client.page(first.next_cursor)
    assert pauses.taken == [1.0, 2.0, 4.0, 8.0]
