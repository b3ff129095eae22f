"""The port of map sources: where a gateway reads its connector map from.

SourceError
+-- SourceUnavailable   the place cannot be read now (API server away, file being written, no permission); try again later
+-- BadSource           `--map` names no place, or one that can never work; the message says what to write instead
"""

from collections.abc import Mapping
from typing import Protocol


class SourceError(Exception):
    """Anything that keeps a source from being opened or read."""


class SourceUnavailable(SourceError):
    """The source cannot be read now; the served map stays."""


class BadSource(SourceError, ValueError):
    """`--map` names no source that can work."""


class MapSource(Protocol):
    """The objects of one connector map, read by name. Every method raises SourceUnavailable.

    An object that does not exist is None (credentials: empty); one that exists and is not what it should be is MapUnreadable.
    """

    @property
    def head_name(self) -> str:
        """The name of the map, which is the name of its head; known after the first `fetch_head`."""

    async def fetch_head(self) -> str | None:
        """The head's text as it is now, never an older one than before."""

    async def authenticate(self, head: str) -> None:
        """Check that the operator signed this text, the last one that `fetch_head` returned. Raises ForgedMap.

        A source that only whoever configures the gateway can write does not check anything.
        """

    async def fetch_shard(self, name: str) -> str | None:
        """A shard's text."""

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        """The values in one of the 16 credential objects, by `<refhash>.<version>`."""

    async def close(self) -> None:
        """Close connections and files."""
