"""A client of a registry as its resource describes it."""

from collections.abc import Callable, Mapping
from typing import Final

from junctor.api.endpoint import SecretKeyRef
from junctor.api.registry import MCPRegistrySpec, Sync
from junctor.net.tls import ssl_context
from junctor.registry.client import RegistryClient

TIMEOUT_SECONDS: Final = 30
PAGE_SIZE: Final = 100
RETRIES: Final = 5
FIRST_RETRIES: Final = 2

#: The value of a Secret's key as it is sent; raises what the caller likes when there is none.
SecretText = Callable[[SecretKeyRef], str]


def request_headers(spec: MCPRegistrySpec, secret: SecretText) -> dict[str, str]:
    """What is sent to the registry itself with every request, credentials included."""
    headers = {}
    for header in spec.headers or ():
        headers[header.name] = secret(header.value_from.secret_key_ref) if header.value_from else header.value or ""
    if spec.auth and spec.auth.bearer:
        headers["Authorization"] = f"Bearer {secret(spec.auth.bearer.secret_key_ref)}"
    return headers


def open_registry(
    spec: MCPRegistrySpec, secret: SecretText, *, retries: int = RETRIES, headers: Mapping[str, str] | None = None
) -> RegistryClient:
    """A client of the registry of a valid spec. retries: of each request. headers: more of them. Raises ValueError for a bad CA bundle."""
    sync = spec.sync or Sync()
    return RegistryClient(
        spec.url,
        headers={**request_headers(spec, secret), **(headers or {})},
        tls=ssl_context(spec.tls.ca_bundle) if spec.tls else None,
        timeout=float(sync.timeout_seconds or TIMEOUT_SECONDS),
        page_size=sync.page_size or PAGE_SIZE,
        retries=retries,
        first_retries=min(retries, FIRST_RETRIES),
    )
