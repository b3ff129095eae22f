"""The management port: signals are answered with what is served; probes say why not."""

import re
from typing import Any

import httpx
import pytest

from junctor.gateway.serving.management import management_app
from junctor.gateway.serving.map_loader import MapLoader
from junctor.net.clock import Clock
from tests.unit.gateway.maps import MAP, MemorySource, content, publish


class StoppedClock(Clock):
    """A clock on which no time passes for the bucket."""

    def monotonic(self) -> float:
        return 0.0


def client_of(loader: MapLoader, **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(management_app(loader, **options)), base_url="http://gateway")


async def test_a_signal_is_answered_with_what_is_served() -> None:
    source = MemorySource()
    publish(source, 41, content("a", requires=["teleport/1"]), content("b"))
    async with client_of(MapLoader(source)) as client:
        response = await client.post("/-/reload", json={"sequence": 41, "peers": ["gw-0", "gw-1"], "later": True})
        revision = await client.get("/-/revision")
    answer = response.json()
    assert response.status_code == 200
    assert answer["sequence"] == 41
    assert answer["revision"].startswith("sha256:")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", answer["appliedAt"])
    assert answer["rejected"] == [{"id": "a", "reason": "requires teleport/1, which this gateway does not know; upgrade it"}]
    assert revision.json() == answer | {"lastError": None}


async def test_an_entry_with_a_malformed_policy_is_rejected_before_anybody_uses_it() -> None:
    source = MemorySource()
    publish(source, 1, content("a", tools={"allowed": "search"}), content("b", limits={"maxConcurrentCalls": 0}), content("c"))
    async with client_of(MapLoader(source)) as client:
        answer = (await client.post("/-/reload", json={"sequence": 1})).json()
    assert [rejected["id"] for rejected in answer["rejected"]] == ["a", "b"]
    assert "policy" in answer["rejected"][0]["reason"]


async def test_a_refused_map_is_a_409_that_says_what_stays_served() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    async with client_of(MapLoader(source)) as client:
        first = (await client.post("/-/reload", json={"sequence": 1})).json()
        source.config_maps[MAP] = "{"
        response = await client.post("/-/reload", json={"sequence": 2})
        revision = await client.get("/-/revision")
    assert response.status_code == 409
    assert "not a connector map head" in response.json()["error"]
    assert response.json()["serving"] == {"sequence": 1, "revision": first["revision"]}
    assert "not a connector map head" in revision.json()["lastError"]


async def test_with_nothing_served_serving_is_null() -> None:
    async with client_of(MapLoader(MemorySource())) as client:
        response = await client.post("/-/reload", json={"sequence": 1})
        revision = await client.get("/-/revision")
    assert (response.status_code, response.json()["serving"]) == (409, None)
    assert (revision.status_code, revision.json()["serving"]) == (503, None)
    assert "does not exist" in revision.json()["lastError"]


async def test_an_unreadable_source_is_a_503_to_try_again() -> None:
    async with client_of(MapLoader(MemorySource(away=True))) as client:
        response = await client.post("/-/reload", json={"sequence": 1})
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


async def test_an_empty_bucket_is_a_429_that_says_when_to_come_back() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    async with client_of(MapLoader(source, clock=StoppedClock())) as client:
        await client.post("/-/reload", json={"sequence": 1})
        codes = [(await client.post("/-/reload", json={"sequence": 99})).status_code for _ in range(5)]
        response = await client.post("/-/reload", json={"sequence": 99})
    assert codes == [409] * 5
    assert (response.status_code, response.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"1", b"{}", b'{"sequence": "1"}', b'{"sequence": true}', b'{"sequence": -1}', b'{"sequence": 1.5}',
        b'{"sequence": 9223372036854775808}', b'{"sequence": 1, "peers": "gw"}', b'{"sequence": 1, "peers": [1]}', b"\xff", b"[" * 60_000,
    ],
)  # fmt: skip
async def test_what_is_no_signal_is_a_400(body: bytes) -> None:
    async with client_of(MapLoader(MemorySource())) as client:
        response = await client.post("/-/reload", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert isinstance(response.json()["error"], str)


async def test_the_pod_is_ready_once_a_map_is_served_and_not_while_it_stops() -> None:
    source, stopping = MemorySource(), False
    loader = MapLoader(source)
    async with client_of(loader, stopping=lambda: stopping) as client:
        before = await client.get("/-/readyz")
        publish(source, 1, content("a"))
        await loader.reload(1)
        during = await client.get("/-/readyz")
        stopping = True
        after = await client.get("/-/readyz")
        alive = await client.get("/-/livez")
    assert [response.status_code for response in (before, during, after, alive)] == [503, 200, 503, 200]
    assert "being loaded" in before.text
    assert "stopping" in after.text


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/-/reload", 405), ("GET", "/metrics", 404), ("GET", "/v1/connectors", 404)]
)
async def test_other_requests_are_refused(method: str, path: str, status: int) -> None:
    async with client_of(MapLoader(MemorySource())) as client:
        response = await client.request(method, path)
    assert (response.status_code, isinstance(response.json()["error"], str)) == (status, True)


async def test_a_body_that_grows_over_the_limit_is_a_413() -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b" " * 1000

    async with client_of(MapLoader(MemorySource())) as client:
        response = await client.post("/-/reload", content=chunks(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
