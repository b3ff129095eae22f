"""A web page in a browser on the caller's machine, or in his intranet, uses a gateway that asks nobody who he is."""

import httpx
import pytest

from tests.support.attacks import RawConnection
from tests.support.running_gateway import RunningGateway

PORTS = {"public": "/v1/connectors", "management": "/-/revision", "resources": "/-/resources"}
HEADERS = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "null"},
    {"Host": "rebound.evil.example"},
    {"Host": "rebound.evil.example:8321", "Origin": "http://rebound.evil.example:8321", "Sec-Fetch-Site": "same-origin"},
    {"Host": "localhost.evil.example"},
    {"Host": "10.0.0.1"},
)


def url_of(victim: RunningGateway, port: str) -> str:
    return (victim.url.removesuffix("/v1") if port == "public" else victim.management) + PORTS[port]


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_a_foreign_page_reads_nothing(victim: RunningGateway, port: str, headers: dict[str, str]) -> None:
    answer = httpx.get(url_of(victim, port), headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 403
    assert answer.headers["x-request-id"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None])
@pytest.mark.parametrize("path", ["/responses", "/chat/completions"])
def test_what_browsers_send_without_asking_is_no_request(victim: RunningGateway, path: str, kind: str | None) -> None:
    model = victim.plays()
    headers = {"Content-Type": kind} if kind else {}
    content = b'{"model": "' + model.encode() + b'", "input": "hi", "messages": []}'
    answer = httpx.post(victim.url + path, content=content, headers=headers, trust_env=False, timeout=60)
    assert answer.status_code == 415
    assert not victim.asked(model)


def test_the_signal_is_json_too(victim: RunningGateway) -> None:
    answer = httpx.post(
        f"{victim.management}/-/reload", content=b'{"sequence": 1}', headers={"Content-Type": "text/plain"}, trust_env=False
    )
    assert answer.status_code == 415


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("host", ["localhost:8321", "LOCALHOST", "127.0.0.1", "127.9.9.9:1", "[::1]:8322", ""])
def test_the_machine_itself_is_served(victim: RunningGateway, port: str, host: str) -> None:
    url = url_of(victim, port)
    same_origin = f"Host: {host}\r\nOrigin: http://{host}\r\nSec-Fetch-Site: same-origin\r\n" if host else ""
    with RawConnection(url) as connection:
        connection.send(f"GET {PORTS[port]} HTTP/1.1\r\n{same_origin}Connection: close\r\n\r\n".encode())
        assert connection.receive().startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("port", PORTS)
def test_every_answer_has_security_headers(victim: RunningGateway, port: str) -> None:
    url = url_of(victim, port)
    for answer in (
        httpx.get(url, trust_env=False),
        httpx.get(f"{url}/nothing", trust_env=False),
        httpx.get(f"{url}?{'x' * 20_000}", trust_env=False),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
