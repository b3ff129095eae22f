"""`--callers kubernetes`: tokens that the cluster's API server accepts (TokenReview, audience `junctor`).

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
#: Seconds for which an answer of the API server is cached. A revoked token is accepted for no longer than that.
ACCEPTED_SECONDS: Final = 60.0
REJECTED_SECONDS: Final = 5.0
#: Cached answers of each kind. Kept apart, so that wrong tokens never evict valid ones.
_CACHE_SIZE: Final = 4096
#: Concurrent reviews; further callers get 503 and try again.
_MAX_REVIEWS: Final = 256
_CONNECTIONS: Final = 16
#: Seconds for one review, connection included.
_DEADLINE: Final = 5.0
_PATH: Final = object_path("tokenreviews", group="authentication.k8s.io")
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class _Answer(NamedTuple):
    """What the API server said about a token. caller: None for a token that it rejects. expires_at: on the clock of the cache."""

    caller: Caller | None
    expires_at: float


class KubernetesCallers:
    """Identifies callers by their Kubernetes tokens. monotonic: seconds, for ages; now: seconds since 1970, for a token's own expiry."""

    def __init__(
        self, api: KubernetesApi, *, monotonic: Callable[[], float] = time.monotonic, now: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._monotonic = monotonic
        self._now = now
        self._accepted: TLRUCache[bytes, _Answer] = TLRUCache(_CACHE_SIZE, _expires_at, timer=monotonic)
        self._rejected: TLRUCache[bytes, _Answer] = TLRUCache(_CACHE_SIZE, _expires_at, timer=monotonic)
        self._reviews: dict[bytes, asyncio.Task[Caller | None]] = {}
        self._logged_error = ""

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """Load the gateway's own credentials; no request is made yet. Raises CallersError."""
        try:
            configuration = await load_configuration(kubeconfig, pool_size=_CONNECTIONS)
        except CredentialsError as error:
            raise CallersError(f"--callers kubernetes: {error}") from error
        return cls(KubernetesApi(configuration, timeout=_DEADLINE))

    async def identify(self, authorization: str | None) -> Caller:
        """Return the caller that the API server names for the token. Raises Unauthorized; ApiError 503 when it does not answer now."""
        token = bearer_token(authorization)
        if token is None:
            raise Unauthorized
        key = hashlib.sha256(token.encode()).digest()
        answer = self._accepted.get(key) or self._rejected.get(key)
        caller = answer.caller if answer is not None else await self._shared_review(key, token)
        if caller is None:
            raise Unauthorized
        return caller

    async def close(self) -> None:
        """End the reviews under way and close the connections to the API server."""
        for review in self._reviews.values():
            review.cancel()
        await asyncio.gather(*self._reviews.values(), return_exceptions=True)
        await self._api.close()

    async def _shared_review(self, key: bytes, token: str) -> Caller | None:
        """Share one review among all requests with the same token; it continues when one of them is cancelled."""
        review = self._reviews.get(key)
        if review is None:
            if len(self._reviews) >= _MAX_REVIEWS:
                raise _reviews_unavailable()
            review = self._reviews[key] = asyncio.create_task(self._review(key, token), name="token review")
            review.add_done_callback(lambda task: self._review_ended(key, task))
        return await asyncio.shield(review)

    def _review_ended(self, key: bytes, review: asyncio.Task[Caller | None]) -> None:
        self._reviews.pop(key, None)
        if not review.cancelled():
            review.exception()  # marks it as retrieved, since every waiter may have been cancelled

    async def _review(self, key: bytes, token: str) -> Caller | None:
        sent_at = self._monotonic()
        spec = {"token": token, "audiences": [AUDIENCE]}
        try:
            review = await self._api.create(_PATH, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec})
            caller = _reviewed_caller(review)
        except KubernetesError as error:
            self._log_once(error)
            raise _reviews_unavailable(error.retry_after) from None
        if self._logged_error:
            self._logged_error = ""
            _log.info("the API server reviews tokens again")
        if caller is None:
            self._rejected[key] = _Answer(None, sent_at + REJECTED_SECONDS)
        else:
            self._accepted[key] = _Answer(caller, sent_at + min(ACCEPTED_SECONDS, _expiry(token) - self._now()))
        return caller

    def _log_once(self, error: KubernetesError) -> None:
        """Log an error unless it is the one that was logged last: every caller meets it."""
        if self._logged_error != str(error):
            self._logged_error = str(error)
            hint = "; give the gateway's service account `create` on tokenreviews.authentication.k8s.io" if error.status == 403 else ""
            _log.error("tokens of callers cannot be reviewed: %s%s", error, hint)


def _expires_at(_key: bytes, answer: _Answer, _now: float) -> float:
    return answer.expires_at


def _reviewed_caller(review: KubernetesObjectView) -> Caller | None:
    """Return the caller that a review names; None when it rejects the token. Raises Unavailable for an answer that is no TokenReview."""
    match review:
        case {"status": {"authenticated": True, "audiences": [*audiences], "user": {"username": str(name)} as user}} if name:
            # An API server that does not support audiences leaves them out; it has then not checked for which audience the token is.
            return _caller_of_user(name, user.get("groups") or ()) if AUDIENCE in audiences else None
        case {"status": {}}:
            return None
    raise Unavailable(0, "the API server's answer is no TokenReview")


def _caller_of_user(user: str, groups: Any) -> Caller:
    found = tuple(group for group in groups if isinstance(group, str))
    namespace, _, name = user.removeprefix(_SERVICE_ACCOUNT).partition(":")
    if user.startswith(_SERVICE_ACCOUNT) and namespace and name and ":" not in name:
        return Caller("ServiceAccount", name, found, namespace)
    return Caller("User", user, found)


def _expiry(token: str) -> float:
    """Return when a token expires by its own claim, in seconds since 1970; infinity without one. Only for tokens that a review accepted."""
    payload = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = float(claims["exp"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return math.inf
    return end if math.isfinite(end) else math.inf


def _reviews_unavailable(retry_after: float | None = None) -> ApiError:
    seconds = str(math.ceil(retry_after or 1))
    message = "the gateway cannot check API keys now; try again in a moment"
    return ApiError(message, status=503, code="callers_unavailable", headers={"Retry-After": seconds})
