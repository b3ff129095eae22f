"""A client that asks a fake registry, and what both noticed."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from junctor.net.clock import Clock
from junctor.registry.client import RegistryClient
from junctor.registry.reader import Page
from tests.support.fake_registry import Asked, Fault
from tests.support.registry_data import PUBLISHED, servers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ROWS = servers(3, mix=PUBLISHED, older=False)
LIST = b'{"servers":[],"metadata":{"count":0}}'
SECRET = "sk-very-secret-value"
#: Seconds. Answers of the fake come within a few milliseconds; these faults never come to an end.
PATIENCE = 0.5


class Pauses(Clock):
    """A clock whose pauses nobody waits for, and which does not spread them."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def now(self) -> datetime:
        return NOW

    def spread(self, seconds: float, share: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)


async def ask(
    url: str, *, retries: int = 0, pauses: Pauses | None = None, headers: Mapping[str, str] | None = None, **options: Any
) -> Page:
    """The first page, with no pauses."""
    client = RegistryClient(url, headers=headers, retries=retries, clock=pauses or Pauses(), timeout=10.0, **options)
    async with client:
        return await client.page()


def times(count: int, fault: Fault) -> Callable[[Asked], Fault | None]:
    """The fault for the first requests, then none."""
    return lambda asked: fault if asked.number <= count else None
