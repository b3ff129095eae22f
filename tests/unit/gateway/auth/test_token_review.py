"""Kubernetes tokens, reviewed by an API server that a test plays."""

import asyncio
import base64
import json
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from junctor.gateway.auth import Caller, CallersError, token_review
from junctor.gateway.auth.token_review import ACCEPTED_SECONDS, REJECTED_SECONDS, KubernetesCallers
from junctor.gateway.web.errors import ApiError, Unauthorized
from junctor.kube.client import KubernetesApi, KubernetesError, Refused, Unavailable

USER = "system:serviceaccount:team-a:app"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:team-a", "system:authenticated"]
APP = Caller("ServiceAccount", "app", tuple(GROUPS), "team-a")
NOBODY: dict[str, Any] = {"user": {}, "error": "[invalid bearer token, token has expired]"}


def yes(user: str = USER, **status: Any) -> dict[str, Any]:
    return {"authenticated": True, "user": {"username": user, "groups": GROUPS}, "audiences": ["junctor"]} | status


def token_until(end: object) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": end}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


class ApiServer:
    """Knows tokens; records what it was asked."""

    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {"good": yes()}
        self.error: KubernetesError | None = None
        self.asked: list[dict[str, Any]] = []
        self.open, self.entered = asyncio.Event(), asyncio.Event()
        self.open.set()
        self.closed = False

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/apis/authentication.k8s.io/v1/tokenreviews"
        self.asked.append(body)
        self.entered.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return body | {"status": self.tokens.get(body["spec"]["token"], NOBODY)}

    async def close(self) -> None:
        self.closed = True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> ApiServer:
    return ApiServer()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def callers(server: ApiServer, clock: Clock) -> KubernetesCallers:
    return KubernetesCallers(cast(KubernetesApi, server), monotonic=clock, now=clock)


async def identify(callers: KubernetesCallers, token: str = "good") -> Caller:
    return await callers.identify(f"Bearer {token}")


async def test_a_service_account_is_named_and_keeps_its_groups(callers: KubernetesCallers, server: ApiServer) -> None:
    assert await identify(callers) == APP
    assert server.asked[0]["spec"] == {"token": "good", "audiences": ["junctor"]}


@pytest.mark.parametrize(
    "name", ["alice", "system:admin", "system:serviceaccount:x", "system:serviceaccount::x", "system:serviceaccount:a:b:c"]
)
async def test_everyone_else_is_a_user(callers: KubernetesCallers, server: ApiServer, name: str) -> None:
    server.tokens["good"] = yes(name)
    assert await identify(callers) == Caller("User", name, tuple(GROUPS))


@pytest.mark.parametrize(
    "status",
    [
        NOBODY,
        {},
        {"authenticated": False, "user": {"username": USER}, "audiences": ["junctor"]},
        yes(audiences=["https://kubernetes.default.svc"]),
        yes(audiences=[]),
        {"authenticated": True, "user": {"username": USER}},
        yes(""),
        yes(authenticated="true"),
    ],
)
async def test_anything_but_a_clear_yes_is_a_no(callers: KubernetesCallers, server: ApiServer, status: dict[str, Any]) -> None:
    server.tokens["good"] = status
    with pytest.raises(Unauthorized):
        await identify(callers)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic good", "good"])
async def test_what_holds_no_token_is_refused_without_asking(callers: KubernetesCallers, server: ApiServer, header: str | None) -> None:
    with pytest.raises(Unauthorized):
        await callers.identify(header)
    assert server.asked == []


# --- what is remembered -------------------------------------------------------------------------------------------------------------------


async def test_a_yes_counts_for_a_minute(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    await identify(callers)
    server.tokens.clear()
    clock.now += ACCEPTED_SECONDS - 0.1
    assert await identify(callers) == APP
    clock.now += 0.1
    with pytest.raises(Unauthorized):
        await identify(callers)
    assert len(server.asked) == 2


async def test_a_yes_counts_no_longer_than_the_token(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    token = token_until(clock.now + 7)
    server.tokens[token] = yes()
    await identify(callers, token)
    clock.now += 6.9
    await identify(callers, token)
    assert len(server.asked) == 1
    clock.now += 0.1
    await identify(callers, token)
    assert len(server.asked) == 2


@pytest.mark.parametrize("end", ["soon", None, float("inf"), float("nan"), [], 10**400])
async def test_a_token_without_a_sensible_end_counts_for_a_minute(
    callers: KubernetesCallers, server: ApiServer, clock: Clock, end: object
) -> None:
    token = token_until(end)
    server.tokens[token] = yes()
    await identify(callers, token)
    clock.now += ACCEPTED_SECONDS - 0.1
    await identify(callers, token)
    assert len(server.asked) == 1


@pytest.mark.parametrize("token", ["a.b.c", "a.!!.c", "a..c", "a.W10.c", "a.//79.c"])
async def test_a_token_of_any_form_is_taken_when_the_api_server_takes_it(callers: KubernetesCallers, server: ApiServer, token: str) -> None:
    server.tokens[token] = yes()
    assert await identify(callers, token) == APP


async def test_a_no_counts_for_some_seconds(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await identify(callers, "new")
    assert len(server.asked) == 1
    server.tokens["new"] = yes()
    clock.now += REJECTED_SECONDS
    assert await identify(callers, "new") == APP


async def test_wrong_tokens_never_push_out_right_ones(callers: KubernetesCallers, server: ApiServer) -> None:
    await identify(callers)
    for number in range(5000):
        with pytest.raises(Unauthorized):
            await identify(callers, f"wrong-{number}")
    server.asked.clear()
    await identify(callers)
    assert server.asked == []


async def test_the_answer_that_was_not_used_for_longest_is_forgotten_when_there_are_too_many(
    server: ApiServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_review, "_CACHE_SIZE", 2)
    callers = KubernetesCallers(cast(KubernetesApi, server), monotonic=clock, now=clock)
    server.tokens |= {token: yes() for token in ("a", "b", "c")}
    for token in ("a", "b", "a", "c"):
        await identify(callers, token)
    assert len(server.asked) == 3
    await identify(callers, "a")
    assert len(server.asked) == 3
    await identify(callers, "b")
    assert len(server.asked) == 4


# --- reviews under way --------------------------------------------------------------------------------------------------------------------


async def test_many_requests_with_one_token_are_one_review(callers: KubernetesCallers, server: ApiServer) -> None:
    server.open.clear()
    waiting = [asyncio.create_task(identify(callers)) for _ in range(20)]
    await server.entered.wait()
    waiting[0].cancel()
    server.open.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [APP] * 19
    assert len(server.asked) == 1


async def test_more_reviews_than_an_api_server_should_bear_are_put_off(callers: KubernetesCallers, server: ApiServer) -> None:
    server.open.clear()
    waiting = [asyncio.create_task(identify(callers, f"token-{number}")) for number in range(257)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = [task.exception() for task in done]
    assert isinstance(refused, ApiError)
    assert refused.status == 503
    server.open.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(answer, Unauthorized) for answer in answers) == 256


async def test_closing_ends_reviews_and_connections(callers: KubernetesCallers, server: ApiServer) -> None:
    server.open.clear()
    waiting = asyncio.create_task(identify(callers))
    await server.entered.wait()
    await callers.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert server.closed


# --- an API server that is away -----------------------------------------------------------------------------------------------------------


async def test_without_the_api_server_known_tokens_go_on_and_others_come_back(callers: KubernetesCallers, server: ApiServer) -> None:
    await identify(callers)
    server.error = Unavailable(0, "API server not reached", retry_after=2.5)
    assert await identify(callers) == APP
    with pytest.raises(ApiError) as away:
        await identify(callers, "new")
    assert (away.value.status, away.value.headers, away.value.type) == (503, {"Retry-After": "3"}, "server_error")
    server.error = None
    server.tokens["new"] = yes()
    assert await identify(callers, "new") == APP


@pytest.mark.parametrize("status", [None, "yes", []])
async def test_an_answer_that_is_no_review_is_neither_yes_nor_no(callers: KubernetesCallers, server: ApiServer, status: object) -> None:
    server.tokens["good"] = status
    with pytest.raises(ApiError) as away:
        await identify(callers)
    assert (away.value.status, away.value.headers) == (503, {"Retry-After": "1"})


async def test_a_missing_permission_is_told_once_with_what_to_do(
    callers: KubernetesCallers, server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.error = Refused(403, "403: tokenreviews is forbidden")
    for number in range(3):
        with pytest.raises(ApiError) as away:
            await identify(callers, f"secret-{number}")
        assert away.value.status == 503
    assert caplog.text.count("give the gateway's service account `create` on tokenreviews.authentication.k8s.io") == 1
    server.error = None
    await identify(callers)
    assert "reviews tokens again" in caplog.text
    assert "secret-" not in caplog.text


async def test_credentials_that_are_missing_are_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(CallersError, match="--callers kubernetes: no usable Kubernetes credentials"):
        await KubernetesCallers.connect(tmp_path / "nothing")
