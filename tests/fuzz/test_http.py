"""Any bytes on a connection of a real gateway: answers of HTTP or none, never a 500, and everybody else is served."""

import re
from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.test_responses import SEEDS as BODIES
from tests.support.attacks import RawConnection, memory, post_head, reset_peak
from tests.support.fuzzing import JSON_TOKENS, mutated, replays
from tests.support.running_gateway import RunningGateway, running_gateway

HEADS = [
    b"GET /v1/connectors?limit=2&after=x HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer x\r\n\r\n",
    b"GET /v1/connectors/a%2Fb/tools HTTP/1.1\r\nHost: gateway\r\nCookie: a=b\r\nX-Request-ID: 7\r\n\r\n",
    b"GET /v1/registries HTTP/1.0\r\n\r\n",
    b"GET http://gateway/v1/models HTTP/1.1\r\nHost: gateway\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"POST /v1/responses HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;x=y\r\n{}\r\n0\r\nTrailer: x\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: gateway\r\n\r\nGET /v1/models HTTP/1.1\r\nHost: gateway\r\n\r\n",
    b"DELETE /v1/responses/resp_1 HTTP/1.1\r\nHost: gateway\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
]
TOKENS = (
    *JSON_TOKENS,
    *(
        b"\r\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b": ",
        b"HTTP/1.1",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"CONNECT ",
        b"PRI * ",
        b"HEAD ",
        b"%00",
        b"%ff",
        b"%",
    ),
    *(
        b"../",
        b"//",
        b"?",
        b"#",
        b";",
        b"@",
        b"Content-Length: 1\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999\r\n",
    ),
    *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Host: \r\n", b"Host: a\r\n", b"Host: \xff\r\n", b" folded: x\r\n"),
    *(b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"X: " + b"v" * 5000 + b"\r\n", b"a: b\r\n" * 120, b"Content-Type: text/plain\r\n"),
)
#: MiB that all connections of one test may leave behind.
GROWTH = 64
_STATUS = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ")
#: Each of these waits for a connection.
_MANY = (settings.default or settings()).max_examples * 2


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("fuzz")) as gateway, httpx.Client(trust_env=False, timeout=60) as canary:
        for _ in range(20):
            canary.get(f"{gateway.url}/connectors")
        before = reset_peak(gateway.process)
        yield gateway
        assert gateway.process.running, gateway.process.tail()
        assert canary.get(f"{gateway.url}/connectors").status_code == 200
        assert canary.get(f"{gateway.management}/-/livez").status_code == 200
        assert memory(gateway.process).now < before.now + GROWTH
        assert "Traceback" not in gateway.process.log(), gateway.process.tail()


def exchange(url: str, data: bytes) -> list[int]:
    """The statuses that come back for these bytes."""
    with RawConnection(url, timeout=30) as connection:
        connection.send(data)
        with suppress(OSError):  # it is closed already
            connection.socket.shutdown(1)
        answer = connection.receive()
    assert not answer or _STATUS.match(answer), answer[:200]
    return [int(status) for status in _STATUS.findall(answer)]


@settings(max_examples=_MANY)
@replays("http", public=True)
@replays("http", public=False)
@given(data=mutated(HEADS, TOKENS) | st.binary(max_size=100), public=st.booleans())
def test_any_bytes_are_answered_or_refused(victim: RunningGateway, data: bytes, public: bool) -> None:
    for status in exchange(victim.url if public else victim.management, data):
        assert status not in (500, 501), data


@settings(max_examples=_MANY)
@replays("responses")
@given(data=mutated(BODIES))
def test_any_body_is_answered_by_the_real_server(victim: RunningGateway, data: bytes) -> None:
    head = post_head(victim.url, "/v1/responses", len(data), Connection="close")
    with RawConnection(victim.url, timeout=30) as connection:
        connection.send(head + data)
        answer = connection.receive()
    found = _STATUS.match(answer)
    assert found, answer[:200]
    assert int(found[1]) < 500 or int(found[1]) in (502, 503), answer[:1000]
