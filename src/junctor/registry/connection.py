"""Opens registries over HTTP, as their resources describe them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from junctor.api.registry import MCPRegistrySpec, Sync
from junctor.net.network_policy import NetworkPolicy
from junctor.net.tls import ssl_context
from junctor.registry.client import RegistryClient

TIMEOUT_SECONDS: Final = 30
PAGE_SIZE: Final = 100
RETRIES: Final = 5
FIRST_RETRIES: Final = 2


@dataclass(frozen=True, slots=True)
class HTTPRegistries:
    """Opens registries over HTTP (port `Registries` of the loop).

    network: which addresses the registries of each namespace may have. retries: how often each request is repeated at most.
    """

    network: NetworkPolicy
    retries: int = RETRIES
    _large_answers: asyncio.Lock = field(default_factory=asyncio.Lock)

    def open(self, spec: MCPRegistrySpec, headers: Mapping[str, str], namespace: str) -> RegistryClient:
        """Open the registry of a valid spec.

        headers: sent with every request. namespace: on whose behalf. Raises ValueError for a bad URL or CA bundle.
        """
        sync = spec.sync or Sync()
        return RegistryClient(
            spec.url,
            headers=headers,
            tls=ssl_context(spec.tls.ca_bundle) if spec.tls else None,
            timeout=float(sync.timeout_seconds or TIMEOUT_SECONDS),
            page_size=sync.page_size or PAGE_SIZE,
            retries=self.retries,
            first_retries=min(self.retries, FIRST_RETRIES),
            large_answers=self._large_answers,
            network=self.network.rules(namespace),
        )
