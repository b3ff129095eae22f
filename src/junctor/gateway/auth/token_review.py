"""`--callers kubernetes`: tokens that the cluster's API server vouches for (TokenReview, audience `junctor`).

Needs `create` on tokenreviews.authentication.k8s.io; the token goes to the API server and nowhere else.
"""

import asyncio
import base64
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from cachetools import TLRUCache

from junctor.gateway.auth.ports import Caller, CallersError, bearer_token
from junctor.gateway.web.errors import ApiError, Unauthorized
from junctor.kube.client import CredentialsError, KubernetesApi, KubernetesError, Unavailable, load_configuration, object_path
from junctor.net.formats import KubernetesObjectView

_log = logging.getLogger(__name__)

AUDIENCE: Final = "junctor"
#: Seconds that an answer of the API server is valid; a revoked token is accepted no longer than that.
KNOWN_SECONDS: Final = 60.0
UNKNOWN_SECONDS: Final = 5.0
#: Cached answers of each kind. Kept apart, so that wrong tokens never evict valid ones.
_REMEMBERED: Final = 4096
#: Reviews at once; further callers are told to try again.
_MAX_REVIEWS: Final = 256
_CONNECTIONS: Final = 16
#: Seconds for one review, connection included.
_DEADLINE: Final = 5.0
_PATH: Final = object_path("tokenreviews", group="authentication.k8s.io")
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class _Answer(NamedTuple):
    """What the API server said about a token. caller: None for a token that it does not vouch for. end: when the answer expires."""

    caller: Caller | None
    end: float


class KubernetesCallers:
    """Knows callers by their Kubernetes tokens. monotonic: seconds, for ages; now: seconds since 1970, for a token's own expiry."""

    def __init__(
        self, api: KubernetesApi, *, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._monotonic = monotonic
        self._now = now
        self._known: TLRUCache[bytes, _Answer] = TLRUCache(_REMEMBERED, _end_of, timer=monotonic)
        self._unknown: TLRUCache[bytes, _Answer] = TLRUCache(_REMEMBERED, _end_of, timer=monotonic)
        self._reviews: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._trouble = ""

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """Load the gateway's own credentials; no request is made yet. Raises CallersError."""
        try:
            configuration = await load_configuration(kubeconfig, pool_size=_CONNECTIONS)
        except CredentialsError as error:
            raise CallersError(f"--callers kubernetes: {error}") from error
        return cls(KubernetesApi(configuration, timeout=_DEADLINE))

    async def identify(self, authorization: str | None) -> Caller:
        """Return the caller that the API server names for the token. Raises Unauthorized; ApiError 503 when it cannot be asked now."""
        token = bearer_token(authorization)
        if token is None:
            raise Unauthorized
        key = hashlib.sha256(token.encode()).digest()
        answer = self._known.get(key) or self._unknown.get(key)
        caller = answer.caller if answer is not None else await self._reviewed(key, token)
        if caller is None:
            raise Unauthorized
        return caller

    async def close(self) -> None:
        """End the reviews under way and close the connections to the API server."""
        for review in self._reviews.values():
            review.cancel()
        await asyncio.gather(*self._reviews.values(), return_exceptions=True)
        await self._api.close()

    async def _reviewed(self, key: bytes, token: str) -> Caller | None:
        """Share one review among all requests with the same token; it continues when one of them is cancelled."""
        review = self._reviews.get(key)
        if review is None:
            if len(self._reviews) >= _MAX_REVIEWS:
                raise _cannot_tell()
            review = self._reviews[key] = asyncio.create_task(self._review(key, token), name="token review")
            review.add_done_callback(lambda task: self._ended(key, task))
        return await asyncio.shield(review)

    def _ended(self, key: bytes, review: asyncio.Task[Caller | None]) -> None:
        self._reviews.pop(key, None)
        if not review.cancelled():
            review.exception()  # seen, also when nobody waits any more

    async def _review(self, key: bytes, token: str) -> Caller | None:
        asked = self._monotonic()
        spec = {"token": token, "audiences": [AUDIENCE]}
        try:
            review = await self._api.create(_PATH, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec})
            caller = _caller(review)
        except KubernetesError as error:
            self._tell(error)
            raise _cannot_tell(error.retry_after) from None
        if self._trouble:
            self._trouble = ""
            _log.info("the API server reviews tokens again")
        if caller is None:
            self._unknown[key] = _Answer(None, asked + UNKNOWN_SECONDS)
        else:
            self._known[key] = _Answer(caller, asked + min(KNOWN_SECONDS, _expiry(token) - self._now()))
        return caller

    def _tell(self, error: KubernetesError) -> None:
        """Log a trouble once, not for every caller that meets it."""
        if self._trouble != str(error):
            self._trouble = str(error)
            hint = "; give the gateway's service account `create` on tokenreviews.authentication.k8s.io" if error.status == 403 else ""
            _log.error("tokens of callers cannot be reviewed: %s%s", error, hint)


def _end_of(_key: bytes, answer: _Answer, _now: float) -> float:
    return answer.end


def _caller(review: KubernetesObjectView) -> Caller | None:
    """Whom a review names; None: nobody. Raises Unavailable when it is none."""
    match review:
        case {"status": {"authenticated": True, "audiences": [*audiences], "user": {"username": str(name)} as user}} if name:
            # An API server that knows nothing of audiences leaves them out, and its yes then means less.
            return _named(name, user.get("groups") or ()) if AUDIENCE in audiences else None
        case {"status": {}}:
            return None
    raise Unavailable(0, "the API server's answer is no TokenReview")


def _named(user: str, groups: Any) -> Caller:
    found = tuple(group for group in groups if isinstance(group, str))
    namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if user.startswith(_SERVICE_ACCOUNT) and namespace and name and ":" not in name:
        return Caller("ServiceAccount", name, found, namespace)
    return Caller("User", user, found)


def _expiry(token: str) -> float:
    """When a token ends by its own claim, in seconds since 1970; never, when it says nothing. Only for tokens that were vouched for."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = float(claims["exp"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return math.inf
    return end if math.isfinite(end) else math.inf


def _cannot_tell(retry_after: float | None = None) -> ApiError:
    seconds = str(math.ceil(retry_after or 1))
    message = "the gateway cannot check API keys now; try again in a moment"
    return ApiError(message, status=503, code="callers_unavailable", headers={"Retry-After": seconds})
