"""Where a gateway reads its connector map from.

SourceError
+-- SourceUnavailable   the place cannot be read now (API server away, file being written, no permission); try again later
+-- BadSource           `--map` names no place, or one that can never work; the message says what to write instead
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

FORMS: Final = "configmap:NAMESPACE/NAME or file:PATH[#NAME]"


class SourceError(Exception):
    """Anything that keeps a source from being opened or read."""


class SourceUnavailable(SourceError):
    """The source cannot be read now; what is served stays."""


class BadSource(SourceError, ValueError):
    """The source was named wrongly."""


class MapSource(Protocol):
    """The objects of one connector map, read by name. Every method raises SourceUnavailable.

    An object that does not exist is None (credentials: empty); one that exists and is not what it should be is MapUnreadable.
    """

    @property
    def head_name(self) -> str:
        """The name of the map, which is the name of its head; known after the first `fetch_head`."""

    async def fetch_head(self) -> str | None:
        """The head's text as it is now, never an older one than before."""

    async def fetch_shard(self, name: str) -> str | None:
        """A shard's text."""

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        """The values in one of the 16 credential objects, by `<refhash>.<version>`."""

    async def close(self) -> None:
        """Let go of connections and files."""


async def open_source(where: str, kubeconfig: Path | None = None) -> MapSource:
    """The source that `--map` names; nothing is read from it yet. Raises BadSource."""
    scheme, _, rest = where.partition(":")
    # Each source is imported only when it is named: the Kubernetes client costs more memory than everything else here.
    if scheme == "configmap":
        from junctor.gateway.configmap_source import ConfigMapSource

        namespace, slash, name = rest.partition("/")
        if not (namespace and slash and name) or "/" in name:
            raise BadSource(f"{where!r}: write configmap:NAMESPACE/NAME, for example configmap:junctor/junctor-connectors")
        return await ConfigMapSource.connect(namespace, name, kubeconfig)
    if scheme == "file":
        from junctor.gateway.file_source import FileSource

        if not rest:
            raise BadSource(f"{where!r}: write file:PATH, for example file:/etc/junctor/map.yaml")
        return FileSource.named(rest)
    raise BadSource(f"{where!r} names no place to read a connector map from; write {FORMS}")
