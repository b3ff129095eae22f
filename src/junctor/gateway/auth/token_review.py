"""`--callers kubernetes`: tokens that the cluster's API server accepts (TokenReview, audience `junctor`).

Needs `create` on tokenreviews.authentication.k8s.io; the token goes to the API server and nowhere else.
"""

import asyncio
import hashlib
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from cachetools import TLRUCache, TTLCache

from junctor.gateway.auth.ports import Caller, CallersError, bearer_token
from junctor.gateway.auth.review_admission import NotAdmitted, ReviewAdmission
from junctor.gateway.auth.token_claims import Claims, unverified_claims
from junctor.gateway.web.errors import ApiError, Unauthorized
from junctor.kube.client import CredentialsError, KubernetesApi, KubernetesError, Unavailable, load_configuration, object_path
from junctor.net.formats import KubernetesObjectView

_log = logging.getLogger(__name__)

AUDIENCE: Final = "junctor"
#: Seconds for which an answer of the API server is valid. A revoked token is accepted for no longer than that.
ACCEPTED_SECONDS: Final = 60.0
REJECTED_SECONDS: Final = 5.0
#: Age in seconds from which a valid answer is renewed while it is used, and the pause after an attempt.
RENEWED_AFTER_SECONDS: Final = 45.0
_RENEWAL_PAUSE: Final = 5.0
#: Seconds for which a token and its subject are known after they were accepted.
KNOWN_SECONDS: Final = 3600.0
#: Cached answers of each kind. Kept apart, so that wrong tokens never evict valid ones.
_CACHE_SIZE: Final = 4096
#: Concurrent reviews of known tokens, and connections for them and for as many reviews of unknown ones.
_RENEWALS: Final = 16
_CONNECTIONS: Final = 2 * _RENEWALS
#: Seconds for one review, connection included.
_DEADLINE: Final = 5.0
_PATH: Final = object_path("tokenreviews", group="authentication.k8s.io")
_SERVICE_ACCOUNT: Final = "system:serviceaccount:"


class _Known(NamedTuple):
    """A token that the API server accepted. Times are those of the monotonic clock. valid_until: of the answer."""

    caller: Caller
    renew_at: float
    valid_until: float
    known_until: float


class KubernetesCallers:
    """Identifies callers by their Kubernetes tokens.

    Reviews of tokens that were accepted in the last hour have connections of their own and wait for no others. Unknown tokens need an
    admission, in which addresses take turns, and within an address the known subjects.

    Args:
        api: the API server, with `_CONNECTIONS` connections.
        admission: of unknown tokens.
        monotonic: seconds, for ages.
        now: seconds since 1970, for a token's own expiry.
    """

    def __init__(
        self,
        api: KubernetesApi,
        *,
        admission: ReviewAdmission | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._api = api
        self._admission = admission or ReviewAdmission()
        self._monotonic = monotonic
        self._now = now
        self._known: TLRUCache[bytes, _Known] = TLRUCache(_CACHE_SIZE, lambda _key, known, _now: known.known_until, timer=monotonic)
        self._known_subjects: TTLCache[bytes, None] = TTLCache(_CACHE_SIZE, KNOWN_SECONDS, timer=monotonic)
        self._rejected: TTLCache[bytes, None] = TTLCache(_CACHE_SIZE, REJECTED_SECONDS, timer=monotonic)
        self._renewals = asyncio.Semaphore(_RENEWALS)
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

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the caller that the API server names for the token. Raises Unauthorized; ApiError 503 when it does not answer now."""
        token = bearer_token(authorization)
        if token is None:
            raise Unauthorized
        key = hashlib.sha256(token.encode()).digest()
        known, now = self._known.get(key), self._monotonic()
        if known is not None and now < known.valid_until:
            if now >= known.renew_at:
                self._known[key] = known._replace(renew_at=now + _RENEWAL_PAUSE)
                self._start_review(key, token, peer)
            return known.caller
        if key in self._rejected:
            raise Unauthorized
        caller = await asyncio.shield(self._start_review(key, token, peer))
        if caller is None:
            raise Unauthorized
        return caller

    async def close(self) -> None:
        """End the reviews under way and close the connections to the API server."""
        for review in self._reviews.values():
            review.cancel()
        await asyncio.gather(*self._reviews.values(), return_exceptions=True)
        await self._api.close()

    def _start_review(self, key: bytes, token: str, peer: str) -> asyncio.Task[Caller | None]:
        """Start a review, or share the one under way; it continues when a request that waits for it is cancelled. Raises Unauthorized."""
        review = self._reviews.get(key)
        if review is None:
            claims = unverified_claims(token)
            if claims is None or AUDIENCE not in claims.audiences or claims.expires_at <= self._now():
                raise Unauthorized
            review = self._reviews[key] = asyncio.create_task(self._admitted_review(key, token, claims, peer), name="token review")
            review.add_done_callback(lambda task: self._review_ended(key, task))
        return review

    def _review_ended(self, key: bytes, review: asyncio.Task[Caller | None]) -> None:
        self._reviews.pop(key, None)
        if not review.cancelled():
            review.exception()  # marks it as retrieved, since every waiter may have been cancelled

    async def _admitted_review(self, key: bytes, token: str, claims: Claims, peer: str) -> Caller | None:
        if key in self._known:
            async with self._renewals:
                return await self._review(key, token, claims)
        subject = claims.subject if claims.subject in self._known_subjects else None
        try:
            async with self._admission.admit((_network(peer), subject)):
                return await self._review(key, token, claims)
        except NotAdmitted:
            raise _reviews_unavailable() from None

    async def _review(self, key: bytes, token: str, claims: Claims) -> Caller | None:
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
            self._known.pop(key, None)
            self._rejected[key] = None
        else:
            left = claims.expires_at - self._now()
            known = (RENEWED_AFTER_SECONDS, min(ACCEPTED_SECONDS, left), min(KNOWN_SECONDS, left))
            self._known[key] = _Known(caller, *(sent_at + seconds for seconds in known))
            self._known_subjects[claims.subject] = None
        return caller

    def _log_once(self, error: KubernetesError) -> None:
        """Log an error unless it is the one that was logged last: every caller meets it."""
        if self._logged_error != str(error):
            self._logged_error = str(error)
            hint = "; give the gateway's service account `create` on tokenreviews.authentication.k8s.io" if error.status == 403 else ""
            _log.error("tokens of callers cannot be reviewed: %s%s", error, hint)


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


def _network(peer: str) -> str:
    """Return what shares a turn: an IPv4 address, or an IPv6 network of 64 bits, all of which may belong to one host."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return peer
    return str(address.ipv4_mapped or ipaddress.ip_network((int(address) >> 64 << 64, 64)))


def _reviews_unavailable(retry_after: float | None = None) -> ApiError:
    seconds = str(math.ceil(retry_after or 1))
    message = "the gateway cannot check API keys now; try again in a moment"
    return ApiError(message, status=503, code="callers_unavailable", headers={"Retry-After": seconds})
