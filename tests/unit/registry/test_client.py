"""The registry client and registries that fail, differ, or mean harm."""

import gzip
import socket
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from junctor import __version__
from junctor.net.clock import Clock
from junctor.net.tls import ssl_context
from junctor.registry.client import RegistryClient
from junctor.registry.errors import (
    NotARegistry,
    QueryRefused,
    RegistryError,
    RegistryRateLimited,
    RegistryTLSFailed,
    RegistryUnauthorized,
    RegistryUnreachable,
    SyncTimeout,
)
from junctor.registry.reader import Page
from tests.support.fake_registry import Asked, Cursor, Cut, Drip, FakeRegistry, Fault, Manner, Slow, Stall, Status
from tests.support.mcp_servers import self_signed
from tests.support.ports import free_port
from tests.support.registry_data import DIRTY, PUBLISHED, servers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROWS = servers(3, mix=PUBLISHED, older=False)
LIST = b'{"servers":[],"metadata":{"count":0}}'
SECRET = "sk-very-secret-value"
#: Seconds. Answers of the fake come within a few milliseconds; these faults never come to an end.
PATIENCE = 0.5


class Pauses(Clock):
    """A clock whose pauses nobody waits for, and which does not spread them."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def now(self) -> datetime:
        return NOW

    def spread(self, seconds: float, share: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)


async def ask(
    url: str, *, retries: int = 0, pauses: Pauses | None = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Page:
    """The first page, with no pauses."""
    client = RegistryClient(url, headers=headers, retries=retries, clock=pauses or Pauses(), timeout=10.0, **options)
    async with client:
        return await client.page()


def times(count: int, fault: Fault) -> Callable[[Asked], Fault | None]:
    """The fault for the first requests, then none."""
    return lambda asked: fault if asked.number <= count else None


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


# --- connections


async def test_nothing_listens() -> None:
    with pytest.raises(RegistryUnreachable, match="nothing accepts connections at"):
        await ask(f"http://127.0.0.1:{free_port()}")


async def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(RegistryUnreachable, match=r"the host name of http://registry\.invalid/v0\.1/servers does not resolve"):
        await ask("http://registry.invalid")


async def test_a_private_authority_is_trusted_when_it_is_given(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with FakeRegistry(ROWS, tls=(certificate, key)) as registry:
        page = await ask(registry.url, tls=ssl_context(certificate.read_text()))
        assert len(page.records) == 3
        with pytest.raises(RegistryTLSFailed, match=r"certificate of .* is not valid: self-signed certificate"):
            await ask(registry.url, retries=3)
        assert len(registry.requests) == 1


async def test_a_handshake_that_hangs_is_tried_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://127.0.0.1:{mute.getsockname()[1]}"
        async with RegistryClient(url, timeout=PATIENCE, retries=0) as client:
            with pytest.raises(RegistryUnreachable, match="did not accept a connection in time") as caught:
                await client.page()
    assert caught.value.transient


async def test_https_where_nobody_speaks_it() -> None:
    with FakeRegistry(ROWS) as registry, pytest.raises(RegistryTLSFailed, match="no TLS connection to https://"):
        await ask(registry.url.replace("http://", "https://"))


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with FakeRegistry(ROWS) as registry:
        assert len((await ask(registry.url)).records) == 3


# --- redirects, cookies, credentials


@pytest.mark.parametrize("location", ["/elsewhere/v0.1/servers?version=latest", "../../elsewhere/v0.1/servers"])
async def test_a_redirect_within_the_registry_is_followed(location: str) -> None:
    with FakeRegistry(ROWS, prefix="/elsewhere") as registry:
        registry.manner = Manner(key=SECRET)
        registry.fault = lambda asked: None if asked.path.startswith("/elsewhere") else Status(307, headers={"location": location})
        base = registry.url.removesuffix("/elsewhere")
        page = await ask(base, headers={"Authorization": f"Bearer {SECRET}"})
        assert len(page.records) == 3


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "form", ["http://127.0.0.1:{other}/v0.1/servers?token=x", "https://127.0.0.1:{port}/", "//user:pass@127.0.0.1:{port}/"]
)
async def test_a_redirect_elsewhere_is_refused(form: str, status: int) -> None:
    with FakeRegistry(ROWS) as registry, FakeRegistry(ROWS) as other:
        location = form.format(port=registry.url.split(":")[-1], other=other.url.split(":")[-1])
        registry.fault = lambda _: Status(status, headers={"location": location})
        with pytest.raises(NotARegistry, match="another origin, where requests are not sent") as caught:
            await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}"})
        assert (len(registry.requests), len(other.requests)) == (1, 0)
    assert "token" not in str(caught.value)
    assert "pass@" not in str(caught.value)


async def test_redirects_in_a_circle_end() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(302, headers={"location": "/v0.1/servers"})
        with pytest.raises(NotARegistry, match="redirects more than 5 times"):
            await ask(registry.url)
        assert len(registry.requests) == 6


async def test_no_cookie_is_kept() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, Status(503, headers={"set-cookie": "session=1; Path=/"}))
        await ask(registry.url, retries=1)
        assert "cookie" not in registry.requests[1].headers


async def test_every_request_has_the_headers_of_its_owner() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = Manner(key=SECRET)
        with pytest.raises(RegistryUnauthorized):
            await ask(registry.url)
        await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}", "X-Team": "a"})
        sent = registry.requests[1].headers
    assert (sent["authorization"], sent["x-team"], sent["user-agent"]) == (f"Bearer {SECRET}", "a", f"junctor/{__version__}")


@pytest.mark.parametrize("status", [200, 401, 404, 500])
async def test_a_credential_that_is_echoed_stays_out_of_messages(status: int) -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(status, f"you sent Bearer {SECRET} or {SECRET}".encode(), "text/plain")
        with pytest.raises(RegistryError) as caught:
            await ask(registry.url, headers={"Authorization": f"Bearer {SECRET}"})
    assert caught.value.excerpt == "you sent *** or ***"
    assert "***" not in str(caught.value)


async def test_an_excerpt_holds_100_printable_characters_at_most() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(404, "\x1b[31m\n\tü\u202e".encode() + b"x" * 10_000, "text/plain")
        with pytest.raises(NotARegistry) as caught:
            await ask(registry.url)
    assert caught.value.excerpt == "[31m ü " + "x" * 93
    assert "x" * 10 not in str(caught.value)


# --- registries that differ


@pytest.mark.parametrize("cursor_name", ["nextCursor", "next_cursor"])
async def test_both_spellings_of_the_cursor(cursor_name: str) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = Manner(cursor_name=cursor_name)
        async with RegistryClient(registry.url, page_size=2) as client:
            first = await client.page()
            second = await client.page(first.next_cursor)
    assert (len(first.records), len(second.records), second.next_cursor) == (2, 1, None)


@pytest.mark.parametrize("manner", [Manner(metadata=False), Manner(null=True), Manner(meta=False), Manner(encoding="gzip")])
async def test_a_list_may_leave_out_what_it_has_not(manner: Manner) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = manner
        page = await ask(registry.url)
        assert (len(page.records), page.next_cursor) == (3, None)
        if manner.metadata:
            registry.rows = []
            assert (await ask(registry.url)).records == []


async def test_an_empty_cursor_is_the_end() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, b'{"servers":[],"metadata":{"nextCursor":""}}')
        assert (await ask(registry.url)).next_cursor is None


async def test_a_cursor_is_sent_back_as_it_came() -> None:
    cursor = "io.github.Acme/weather+x:1.0.0+build 7&version=0#ü%2F"
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, Cursor(cursor))
        async with RegistryClient(registry.url) as client:
            await client.page((await client.page()).next_cursor)
        assert registry.requests[1].query["cursor"] == cursor
        assert registry.requests[1].query["version"] == "latest"


async def test_records_come_as_they_are_whatever_they_hold() -> None:
    with FakeRegistry(DIRTY.values()) as registry:
        page = await ask(registry.url)
    assert len(page.records) == len(DIRTY)


async def test_the_clock_of_the_registry_is_told() -> None:
    with FakeRegistry() as registry:
        registry.manner = Manner(date=NOW)
        assert (await ask(registry.url)).date == NOW
        registry.fault = lambda _: Status(200, LIST, headers={"date": "yesterday"})
        assert (await ask(registry.url)).date is None


async def test_a_proxy_that_does_not_let_names_through_is_not_an_unknown_server() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = lambda _: Status(404, b"<html>404 Not Found", "text/html")
        async with RegistryClient(registry.url) as client:
            with pytest.raises(NotARegistry, match="HTTP 404"):
                await client.versions(ROWS[0].name)
            with pytest.raises(NotARegistry, match="HTTP 404"):
                await client.server(ROWS[0].name)


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/v0.1/servers"),
        ("/", "/v0.1/servers"),
        ("/v0.1", "/v0.1/servers"),
        ("/v0", "/v0/servers"),
        ("/registry/team%20a", "/registry/team%20a/v0.1/servers"),
        ("/registry/v0.1/", "/registry/v0.1/servers"),
        ("/v0.10", "/v0.10/v0.1/servers"),
    ],
)
async def test_where_the_list_is(base: str, path: str) -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, LIST)
        await ask(registry.url + base)
        assert registry.requests[0].path == path


@pytest.mark.parametrize(
    "url",
    [
        "registry.example.com",
        "ftp://a.example.com",
        "https://",
        "https://u:p@a.example.com",
        "https://a.example.com?key=x",
        "http://a:99999",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"registry|[Pp]ort") as caught:
        RegistryClient(url)
    assert "key=x" not in str(caught.value)


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
