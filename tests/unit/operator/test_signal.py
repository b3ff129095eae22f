"""The signal over HTTP: whatever a pod answers, the result is an acknowledgement or one of two errors, within the deadline."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from junctor.operator.signal import HttpSignal
from junctor.reconcile.ports import MapRejected, Pod, PodUnreachable
from tests.unit.reconcile.fakes import pod

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """A pod's management port on a free port of this machine."""

    def __init__(self) -> None:
        self.handler: Handler = lambda request: self.answer(request)
        self.signals: list[object] = []
        self.port = 0
        self.release = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.signals.append(body)
        return web.json_response({"sequence": body["sequence"], "revision": "sha256:1", "rejected": []})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return await self.handler(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    made.release.set()
    await runner.cleanup()


@pytest.fixture
async def signal(server: Server) -> AsyncIterator[HttpSignal]:
    made = HttpSignal(server.port)
    yield made
    await made.close()


HERE: Pod = pod("gw-0", address="127.0.0.1")


def says(status: int, text: str, content_type: str = "application/json") -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text, content_type=content_type)

    return answer


async def test_acknowledgement_is_read(signal: HttpSignal, server: Server) -> None:
    answer = await signal.reload(HERE, 41, ["gw-0", "gw-1"], deadline=10)
    assert (answer.sequence, answer.revision, answer.rejected) == (41, "sha256:1", {})
    assert server.signals == [{"sequence": 41, "peers": ["gw-0", "gw-1"]}]


async def test_rejected_connectors_are_read(signal: HttpSignal, server: Server) -> None:
    server.handler = says(200, '{"sequence": 41, "revision": "r", "rejected": [{"id": "a", "reason": "unknown feature"}]}')
    assert (await signal.reload(HERE, 41, [], deadline=10)).rejected == {"a": "unknown feature"}


@pytest.mark.parametrize("rejected", ["{}," * 1_000_000 + "{}", ",".join(f'{{"id":"{number}"}}' for number in range(100_000))])
async def test_answer_with_more_values_than_any_gateway_sends_counts_as_empty(signal: HttpSignal, server: Server, rejected: str) -> None:
    server.handler = says(200, f'{{"sequence": 41, "rejected": [{rejected}]}}')
    with pytest.raises(PodUnreachable, match="not the answer of a gateway"):
        await signal.reload(HERE, 41, [], deadline=10)


@pytest.mark.parametrize("rejected", ["null", "5", '"text"', "[1, null]", '[{"id": "a"}]', '[{"reason": "b"}]', "{}"])
async def test_malformed_list_of_rejected_connectors_is_ignored(signal: HttpSignal, server: Server, rejected: str) -> None:
    server.handler = says(200, f'{{"sequence": 41, "rejected": {rejected}}}')
    assert (await signal.reload(HERE, 41, [], deadline=10)).sequence == 41


async def test_refused_map_comes_with_reason_and_what_is_served(signal: HttpSignal, server: Server) -> None:
    server.handler = says(409, '{"error": "digest is wrong", "serving": {"sequence": 40}}')
    with pytest.raises(MapRejected, match="digest is wrong") as raised:
        await signal.reload(HERE, 41, [], deadline=10)
    assert raised.value.serving == 40


@pytest.mark.parametrize(
    "serving", ["null", '"text"', '{"sequence": "40"}', '{"sequence": null}', '{"sequence": true}', '{"sequence": -1}']
)
async def test_refusal_without_a_valid_serving_sequence_is_still_a_refusal(signal: HttpSignal, server: Server, serving: str) -> None:
    server.handler = says(409, f'{{"error": "no", "serving": {serving}}}')
    with pytest.raises(MapRejected) as raised:
        await signal.reload(HERE, 41, [], deadline=10)
    assert raised.value.serving is None


@pytest.mark.parametrize("status", [429, 503])
async def test_pod_that_cannot_reload_now_is_unreachable_for_its_reason(signal: HttpSignal, server: Server, status: int) -> None:
    server.handler = says(status, '{"error": "the source cannot be read"}')
    with pytest.raises(PodUnreachable, match=f"{status}.*the source cannot be read"):
        await signal.reload(HERE, 41, [], deadline=10)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, '{"error": "broken"}'),
        (200, "<html>login</html>"),
        (200, ""),
        (200, "[]"),
        (200, "{}"),
        (200, '{"sequence": "41"}'),
        (200, '{"sequence": true}'),
        (200, '{"sequence": -1}'),
        (200, '{"sequence": 1e3}'),
        (200, '{"sequence": 9' + "9" * 4000 + "}"),
        (200, "[" * 100_000),
        (200, "9" * 5_000_000),
        (404, "not found"),
    ],
    ids=[
        *("error", "web page", "nothing", "list", "empty", "text", "truth", "negative", "fraction", "huge", "deep", "long", "not found"),
    ],
)
async def test_pod_that_does_not_answer_like_a_gateway_is_unreachable(signal: HttpSignal, server: Server, status: int, text: str) -> None:
    server.handler = says(status, text)
    with pytest.raises(PodUnreachable):
        await signal.reload(HERE, 41, [], deadline=10)


async def test_redirect_is_not_followed(signal: HttpSignal, server: Server) -> None:
    paths: list[str] = []

    async def redirect(request: web.Request) -> web.StreamResponse:
        paths.append(request.path)
        raise web.HTTPTemporaryRedirect("/elsewhere")

    server.handler = redirect
    with pytest.raises(PodUnreachable):
        await signal.reload(HERE, 41, [], deadline=10)
    assert paths == ["/-/reload"]


async def test_pod_that_stalls_before_the_answer_is_given_up_at_the_deadline(signal: HttpSignal, server: Server) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        await server.release.wait()
        return web.Response()

    server.handler = stall
    with pytest.raises(PodUnreachable, match=r"within 0\.05 s"):
        await signal.reload(HERE, 41, [], deadline=0.05)


async def test_pod_that_stalls_within_the_answer_is_given_up_at_the_deadline(signal: HttpSignal, server: Server) -> None:
    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"sequence"')
        await server.release.wait()
        return response

    server.handler = stall
    with pytest.raises(PodUnreachable):
        await signal.reload(HERE, 41, [], deadline=0.2)


async def test_pod_that_refuses_connections_is_unreachable(signal: HttpSignal, unused_tcp_port: int) -> None:
    nobody = HttpSignal(unused_tcp_port)
    with pytest.raises(PodUnreachable, match=str(unused_tcp_port)):
        await nobody.reload(HERE, 41, [], deadline=10)
    await nobody.close()


@pytest.mark.parametrize("address", ["not an address", "::1::1", ""])
async def test_pod_with_an_invalid_address_is_unreachable(signal: HttpSignal, address: str) -> None:
    with pytest.raises(PodUnreachable):
        await signal.reload(pod("gw-0", address=address), 41, [], deadline=10)


async def test_close_without_any_signal_is_fine() -> None:
    await HttpSignal(1).close()
