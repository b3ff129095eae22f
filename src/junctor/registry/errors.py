"""Errors of reading a registry. `reason` is that of Synced=False; messages hold neither credentials nor queries, nor anything of a body:
whoever may create an MCPRegistry reads them in its status, and could read internal services through the operator.

RegistryError               a 5xx, a connection that broke, an answer that cannot be read
+-- QueryRefused            400 or 422: a parameter (updated_since, search, cursor) that it does not accept; repeat without it
+-- NotARegistry            the server does not speak the MCP Registry API
+-- RegistryUnreachable     the name does not resolve, nothing listens, or no connection in time
+-- RegistryAddressRefused  its name resolves to an address that the network policy does not allow
+-- RegistryUnauthorized    401 or 403
+-- RegistryTLSFailed       the certificate cannot be verified, or what listens does not speak TLS
+-- RegistryRateLimited     429, for longer than a sync waits
+-- SyncTimeout             a page was not complete in time
"""

from typing import ClassVar

from junctor.api.conditions import Reason


class RegistryError(Exception):
    """The registry could not be read.

    retry_after: seconds after which the registry accepts the next request, None when it does not say. transient: the same request may
    succeed in a moment. excerpt: the beginning of the answer, for the log only.
    """

    reason: ClassVar[Reason] = Reason.REGISTRY_ERROR

    def __init__(self, message: str, *, retry_after: float | None = None, transient: bool = False, excerpt: str = "") -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.transient = transient
        self.excerpt = excerpt

    @property
    def with_excerpt(self) -> str:
        """The message with the beginning of the answer: for logs and terminals, never for a status."""
        return f"{self}; the answer begins with: {self.excerpt}" if self.excerpt else str(self)


class QueryRefused(RegistryError):
    """The registry does not accept a parameter of the query."""


class NotARegistry(RegistryError):
    """The server does not speak the MCP Registry API."""

    reason = Reason.NOT_A_REGISTRY


class RegistryUnreachable(RegistryError):
    """There is no connection to the registry."""

    reason = Reason.REGISTRY_UNREACHABLE


class RegistryAddressRefused(RegistryError):
    """The address of the registry is not allowed."""

    reason = Reason.ADDRESS_NOT_ALLOWED


class RegistryUnauthorized(RegistryError):
    """The registry does not accept the credentials, or requires some."""

    reason = Reason.REGISTRY_UNAUTHORIZED


class RegistryTLSFailed(RegistryError):
    """There is no trusted TLS connection to the registry."""

    reason = Reason.REGISTRY_TLS_FAILED


class RegistryRateLimited(RegistryError):
    """The registry limits the rate of requests."""

    reason = Reason.REGISTRY_RATE_LIMITED


class SyncTimeout(RegistryError):
    """The registry did not answer in time."""

    reason = Reason.SYNC_TIMEOUT
