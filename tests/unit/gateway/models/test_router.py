"""Models find their model servers."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from junctor.gateway.models.chat_completions import ChatCompletionsUpstream
from junctor.gateway.models.model_errors import ModelNotFound
from junctor.gateway.models.model_server import ModelClients, Timeouts
from junctor.gateway.models.ports import ChatMessage, ModelRequest, RoundEnd, TextDelta, UpstreamError
from junctor.gateway.models.router import UpstreamRoute, UpstreamRouter
from junctor.net.globs import Globs
from tests.support.model_server import ModelServer, Round


@pytest.fixture
async def client() -> AsyncIterator[ModelClients]:
    async with ModelClients() as client:
        yield client


def named(name: str) -> ChatCompletionsUpstream:
    return ChatCompletionsUpstream(f"http://{name}", clients=ModelClients())


@pytest.mark.parametrize(
    ("model", "host"),
    [("meta/llama-70b", "llama"), ("meta/other", "meta"), ("gpt-5", "rest"), ("Meta/llama-70b", "rest"), ("special", "llama")],
)
def test_first_route_with_a_matching_glob_generates(model: str, host: str) -> None:
    router = UpstreamRouter(
        [
            UpstreamRoute(Globs(["meta/llama-*", "special"]), named("llama")),
            UpstreamRoute(Globs(["meta/*"]), named("meta")),
            UpstreamRoute(Globs(["*"]), named("rest")),
            UpstreamRoute(Globs(["gpt-5"]), named("never")),
        ]
    )
    assert router.find(model).server.base == f"http://{host}/v1"


def test_model_without_a_route_does_not_exist() -> None:
    router = UpstreamRouter([UpstreamRoute(Globs(["a"]), named("a"))])
    with pytest.raises(ModelNotFound, match="'b' does not exist") as caught:
        router.find("b")
    assert (caught.value.status, caught.value.code, caught.value.param) == (404, "model_not_found", "model")


async def test_round_goes_to_the_models_server(client: ModelClients) -> None:
    with ModelServer({"a": [Round(text="A")]}) as a, ModelServer({"b": [Round(text="B")]}) as b:
        routes = [
            UpstreamRoute(Globs(["a"]), ChatCompletionsUpstream(a.url, clients=client)),
            UpstreamRoute(Globs(["b"]), ChatCompletionsUpstream(b.url, clients=client)),
        ]
        request = ModelRequest("b", [ChatMessage("user", "hi")])
        _, first, end = [event async for event in UpstreamRouter(routes).find("b").round(request)]
        assert first == TextDelta("B")
        assert isinstance(end, RoundEnd)
        assert a.requests == []


async def test_models_are_those_that_requests_reach(client: ModelClients) -> None:
    with ModelServer({"a": [], "b": []}) as first, ModelServer({"a": [], "c": []}) as second:
        router = UpstreamRouter(
            [
                UpstreamRoute(Globs(["a"]), ChatCompletionsUpstream(first.url, clients=client)),
                UpstreamRoute(Globs(["*"]), ChatCompletionsUpstream(second.url, clients=client)),
            ]
        )
        models = await router.models()
    assert [model["id"] for model in models] == ["a", "scripted", "c"]
    assert models[0]["owned_by"] == "junctor"


def listing(answer: Callable[[httpx.Request], httpx.Response]) -> UpstreamRoute:
    client = ModelClients(httpx.MockTransport(answer))
    return UpstreamRoute(Globs(["*"]), ChatCompletionsUpstream("http://model", clients=client, timeouts=Timeouts(listing=5)))


async def test_server_that_does_not_answer_is_left_out_unless_none_does() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    good = listing(lambda _: httpx.Response(200, json={"data": [{"id": "a"}]}))
    assert await UpstreamRouter([listing(fail), UpstreamRoute(Globs(["a"]), good.upstream)]).models() == []
    assert await UpstreamRouter([UpstreamRoute(Globs(["b"]), listing(fail).upstream), good]).models() == [{"id": "a"}]
    with pytest.raises(UpstreamError, match="cannot be reached"):
        await UpstreamRouter([listing(fail)]).models()


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"data": {}}', b'{"data": null}', b"<html>"])
async def test_listing_that_makes_no_sense_is_502(body: bytes) -> None:
    with pytest.raises(UpstreamError, match="cannot be read") as caught:
        await UpstreamRouter([listing(lambda _: httpx.Response(200, content=body))]).models()
    assert caught.value.status == 502


async def test_entries_without_an_id_are_left_out() -> None:
    route = listing(lambda _: httpx.Response(200, json={"data": [{}, "a", {"id": 7}, {"id": "a"}, {"id": "a", "x": 1}]}))
    assert await UpstreamRouter([route]).models() == [{"id": "a"}]


async def test_without_upstreams_there_are_no_models() -> None:
    assert await UpstreamRouter([]).models() == []
