"""Kubernetes tokens, reviewed by an API server that a test plays."""

import asyncio
import base64
import json
import logging
from pathlib import Path
from typing import Any, cast

import pytest

from junctor.gateway.auth import Caller, CallersError, token_review
from junctor.gateway.auth.review_admission import ReviewAdmission
from junctor.gateway.auth.token_review import ACCEPTED_SECONDS, REJECTED_SECONDS, RENEWED_AFTER_SECONDS, KubernetesCallers
from junctor.gateway.web.errors import ApiError, Unauthorized
from junctor.kube.client import KubernetesApi, KubernetesError, Refused, Unavailable

USER = "system:serviceaccount:team-a:app"
GROUPS = ["system:serviceaccounts", "system:serviceaccounts:team-a", "system:authenticated"]
APP = Caller("ServiceAccount", "app", tuple(GROUPS), "team-a")
START = 1000.0
NO_ENDS: tuple[object, ...] = ("soon", None, True, float("inf"), float("nan"), -float("inf"), [], 10**400, START, START - 1)
NO_AUDIENCES: tuple[object, ...] = (None, [], "junctor2", ["https://kubernetes.default.svc"], [["junctor"]], {"junctor": 1})
NOBODY: dict[str, Any] = {"user": {}, "error": "[invalid bearer token, token has expired]"}


def yes(user: str = USER, **status: Any) -> dict[str, Any]:
    return {"authenticated": True, "user": {"username": user, "groups": GROUPS}, "audiences": ["junctor"]} | status


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def token(name: str = "good", **claims: object) -> str:
    """A token of the right form that only the API server can judge."""
    content = {"iss": "https://cluster", "sub": name, "aud": ["junctor"], "exp": START + 7200} | claims
    return f"{segment({'alg': 'RS256'})}.{segment(content)}.signature-of-{name}"


class ApiServer:
    """Knows tokens; records what it was asked."""

    def __init__(self) -> None:
        self.tokens: dict[str, Any] = {token(): yes()}
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
        self.now = START

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
    return callers_of(server, clock)


def callers_of(server: ApiServer, clock: Clock, **admission: Any) -> KubernetesCallers:
    unlimited = ReviewAdmission(**{"per_second": 1e9, "burst": 10**9} | admission)
    return KubernetesCallers(cast(KubernetesApi, server), admission=unlimited, monotonic=clock, now=clock)


async def identify(callers: KubernetesCallers, sent: str = token(), peer: str = "") -> Caller:  # a constant
    return await callers.identify(f"Bearer {sent}", peer)


async def settled() -> None:
    """Let tasks in the background go on until they wait for something else."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_service_account_is_named_and_keeps_its_groups(callers: KubernetesCallers, server: ApiServer) -> None:
    assert await identify(callers) == APP
    assert server.asked[0]["spec"] == {"token": token(), "audiences": ["junctor"]}


@pytest.mark.parametrize(
    "name", ["alice", "system:admin", "system:serviceaccount:x", "system:serviceaccount::x", "system:serviceaccount:a:b:c"]
)
async def test_everyone_else_is_a_user(callers: KubernetesCallers, server: ApiServer, name: str) -> None:
    server.tokens[token()] = yes(name)
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
    server.tokens[token()] = status
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
    short = token(exp=clock.now + 7)
    server.tokens[short] = yes()
    await identify(callers, short)
    clock.now += 6.9
    await identify(callers, short)
    clock.now += 0.1
    with pytest.raises(Unauthorized):
        await identify(callers, short)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "sent",
    [
        "opaque", "a.b.c", "a.!!.c", "a..c", "a.W10.c", "a.//79.c", f"{segment([])}.{segment({})}.c", f"{token()}.more",
        token().rpartition(".")[0] + ".", token().replace(segment({"alg": "RS256"}), segment({})),
        *(token(exp=end) for end in NO_ENDS), *(token(aud=audience) for audience in NO_AUDIENCES),
        f"{segment({'alg': 'RS256'})}.{base64.urlsafe_b64encode(b'[' * 9000).decode()}.c",
    ],
)  # fmt: skip
async def test_what_is_no_token_for_the_gateway_is_refused_without_asking(callers: KubernetesCallers, server: ApiServer, sent: str) -> None:
    server.tokens[sent] = yes()
    with pytest.raises(Unauthorized):
        await identify(callers, sent)
    assert server.asked == []


@pytest.mark.parametrize("claims", [{"aud": "junctor"}, {"aud": ["other", "junctor"]}, {"exp": 1e300}, {"iss": None, "sub": [1]}])
async def test_every_form_of_a_token_for_the_gateway_is_reviewed(
    callers: KubernetesCallers, server: ApiServer, claims: dict[str, Any]
) -> None:
    server.tokens[token(**claims)] = yes()
    assert await identify(callers, token(**claims)) == APP


async def test_a_no_counts_for_some_seconds(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await identify(callers, token("new"))
    assert len(server.asked) == 1
    server.tokens[token("new")] = yes()
    clock.now += REJECTED_SECONDS
    assert await identify(callers, token("new")) == APP


async def test_wrong_tokens_never_push_out_right_ones(callers: KubernetesCallers, server: ApiServer) -> None:
    await identify(callers)
    for number in range(5000):
        with pytest.raises(Unauthorized):
            await identify(callers, token(f"wrong-{number}"))
    server.asked.clear()
    await identify(callers)
    assert server.asked == []


async def test_the_answer_that_was_not_used_for_longest_is_forgotten_when_there_are_too_many(
    server: ApiServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_review, "_CACHE_SIZE", 2)
    callers = callers_of(server, clock)
    server.tokens |= {token(name): yes() for name in "abc"}
    for name in "abac":
        await identify(callers, token(name))
    assert len(server.asked) == 3
    await identify(callers, token("a"))
    assert len(server.asked) == 3
    await identify(callers, token("b"))
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


async def test_more_reviews_than_may_wait_are_put_off(server: ApiServer, clock: Clock) -> None:
    callers = callers_of(server, clock, concurrent=2, waiting=3)
    server.open.clear()
    waiting = [asyncio.create_task(identify(callers, token(f"token-{number}"))) for number in range(6)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = [task.exception() for task in done]
    assert isinstance(refused, ApiError)
    assert (refused.status, refused.headers) == (503, {"Retry-After": "1"})
    assert len(server.asked) == 2
    server.open.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert sum(isinstance(answer, Unauthorized) for answer in answers) == 5


async def test_a_new_token_passes_a_flood_from_another_address_or_of_another_subject(server: ApiServer, clock: Clock) -> None:
    callers = callers_of(server, clock, concurrent=1, waiting=10)
    await identify(callers, peer="10.0.0.1")
    renewed = token(iat=clock.now)
    server.tokens[renewed] = yes()
    server.open.clear()
    flood = [asyncio.create_task(identify(callers, token(f"made-up-{number}"), f"2001:db8::{number:x}")) for number in range(30)]
    await settled()
    asked = len(server.asked)
    other_address = asyncio.create_task(identify(callers, token("new"), "10.0.0.2"))
    known_subject = asyncio.create_task(identify(callers, renewed, "2001:db8::1"))
    await settled()
    server.tokens[token("new")] = yes()
    server.open.set()
    assert (await other_address, await known_subject) == (APP, APP)
    assert {asked["spec"]["token"] for asked in server.asked[asked : asked + 3]} > {token("new"), renewed}
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unauthorized, ApiError}


async def test_a_known_token_is_served_while_it_is_renewed_beside_a_flood(server: ApiServer, clock: Clock) -> None:
    callers = callers_of(server, clock, concurrent=1)
    await identify(callers)
    server.open.clear()
    flood = [asyncio.create_task(identify(callers, token(f"made-up-{number}"))) for number in range(10)]
    clock.now += RENEWED_AFTER_SECONDS
    assert [await identify(callers) for _ in range(5)] == [APP] * 5
    await settled()
    assert [asked["spec"]["token"] for asked in server.asked].count(token()) == 2, "one renewal, which does not wait for the flood"
    server.open.set()
    await asyncio.gather(*flood, return_exceptions=True)
    clock.now += RENEWED_AFTER_SECONDS - 1
    assert await identify(callers) == APP
    assert [asked["spec"]["token"] for asked in server.asked].count(token()) == 2, "it counts from the renewal on"


async def test_a_no_to_a_renewal_counts_at_once(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    await identify(callers)
    server.tokens.clear()
    clock.now += RENEWED_AFTER_SECONDS
    assert await identify(callers) == APP
    await settled()
    with pytest.raises(Unauthorized):
        await identify(callers)
    assert len(server.asked) == 2


async def test_a_renewal_that_fails_is_tried_again_after_a_pause(callers: KubernetesCallers, server: ApiServer, clock: Clock) -> None:
    await identify(callers)
    server.error = Unavailable(0, "API server not reached")
    for pause in (RENEWED_AFTER_SECONDS, 0, 4.9, 0.1):
        clock.now += pause
        assert await identify(callers) == APP
        await settled()
    assert len(server.asked) == 3
    clock.now += ACCEPTED_SECONDS
    with pytest.raises(ApiError):
        await identify(callers)
    server.error = None
    assert await identify(callers) == APP


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
        await identify(callers, token("new"))
    assert (away.value.status, away.value.headers, away.value.type) == (503, {"Retry-After": "3"}, "server_error")
    server.error = None
    server.tokens[token("new")] = yes()
    assert await identify(callers, token("new")) == APP


@pytest.mark.parametrize("status", [None, "yes", []])
async def test_an_answer_that_is_no_review_is_neither_yes_nor_no(callers: KubernetesCallers, server: ApiServer, status: object) -> None:
    server.tokens[token()] = status
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
            await identify(callers, token(f"secret-{number}"))
        assert away.value.status == 503
    assert caplog.text.count("give the gateway's service account `create` on tokenreviews.authentication.k8s.io") == 1
    server.error = None
    await identify(callers)
    assert "reviews tokens again" in caplog.text
    assert not any(token(f"secret-{number}") in caplog.text for number in range(3))


async def test_credentials_that_are_missing_are_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(CallersError, match="--callers kubernetes: no usable Kubernetes credentials"):
        await KubernetesCallers.connect(tmp_path / "nothing")
