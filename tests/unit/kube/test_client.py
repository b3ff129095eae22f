"""What the API server, or something in front of it, may answer."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import Configuration

from junctor.kube.client import Conflict, KubernetesApi, KubernetesError, NotFound, Refused, Unavailable

ANSWERS = {
    "html": web.Response(text="<html>maintenance</html>", content_type="text/html"),
    "list": web.Response(text="[]", content_type="application/json"),
    "nested": web.Response(text="[" * 100_000, content_type="application/json"),
}


@pytest.fixture
async def api() -> AsyncIterator[KubernetesApi]:
    async def answer(request: web.Request) -> web.Response:
        what = request.match_info["what"]
        if what.isdigit():
            return web.Response(status=int(what), text='{"message": "why", "reason": "AlreadyExists"}', headers={"Retry-After": "7"})
        if what == "empty":
            return web.json_response({})
        text = ANSWERS[what]
        return web.Response(text=text.text, content_type=text.content_type)

    application = web.Application()
    application.router.add_get("/{what}", answer)
    async with TestServer(application) as server:
        configuration = Configuration()
        configuration.host = str(server.make_url("")).rstrip("/")
        api = KubernetesApi(configuration)
        yield api
        await api.close()


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (409, Conflict), (403, Refused), (422, Refused), (429, Unavailable), (500, Unavailable)]
)
async def test_answers_that_are_no_success_are_errors_with_the_servers_message(
    api: KubernetesApi, status: int, kind: type[KubernetesError]
) -> None:
    with pytest.raises(kind, match=f"{status}: why") as raised:
        await api.get(f"/{status}")
    assert raised.value.retry_after == 7


@pytest.mark.parametrize("what", sorted(ANSWERS))
async def test_an_answer_that_is_no_json_object_means_try_again_later(api: KubernetesApi, what: str) -> None:
    with pytest.raises(Unavailable):
        await api.get(f"/{what}")


async def test_a_list_without_metadata_ends(api: KubernetesApi) -> None:
    assert [page async for page in api.list("/empty")] == [([], "")]


async def test_a_server_that_is_not_there_is_unavailable(api: KubernetesApi) -> None:
    api.configuration.host = "http://127.0.0.1:1"
    with pytest.raises(Unavailable, match="not reached"):
        await api.get("/x")
