"""Why a registry could not be read. `reason` is the one of Synced=False; messages hold no credentials and no query.

RegistryError               an error of its own: a 5xx, a connection that broke, an answer that cannot be read
+-- QueryRefused            400 or 422: a parameter (updated_since, search, cursor) that it does not take; ask without it
+-- NotARegistry            what answers there does not speak the MCP Registry API
+-- RegistryUnreachable     the name does not resolve, nothing listens, or no connection in time
+-- RegistryUnauthorized    401 or 403
+-- RegistryTLSFailed       the certificate cannot be verified, or what listens does not speak TLS
+-- RegistryRateLimited     429, longer than is waited for
+-- SyncTimeout             a page was not there, to its last byte, in time
"""

from typing import ClassVar

from junctor.api.conditions import Reason


class RegistryError(Exception):
    """The registry could not be read.

    retry_after: seconds after which the registry wants to be asked again, when it said so. transient: the same request may succeed in a
    moment.
    """

    reason: ClassVar[Reason] = Reason.REGISTRY_ERROR

    def __init__(self, message: str, *, retry_after: float | None = None, transient: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.transient = transient


class QueryRefused(RegistryError):
    """The registry does not take a parameter of the query."""


class NotARegistry(RegistryError):
    """What answers does not speak the MCP Registry API."""

    reason = Reason.NOT_A_REGISTRY


class RegistryUnreachable(RegistryError):
    """There is no connection to the registry."""

    reason = Reason.REGISTRY_UNREACHABLE


class RegistryUnauthorized(RegistryError):
    """The registry does not accept the credentials, or wants some."""

    reason = Reason.REGISTRY_UNAUTHORIZED


class RegistryTLSFailed(RegistryError):
    """There is no trusted TLS connection to the registry."""

    reason = Reason.REGISTRY_TLS_FAILED


class RegistryRateLimited(RegistryError):
    """The registry wants fewer requests."""

    reason = Reason.REGISTRY_RATE_LIMITED


class SyncTimeout(RegistryError):
    """The registry did not answer in time."""

    reason = Reason.SYNC_TIMEOUT
