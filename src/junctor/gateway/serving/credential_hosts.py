"""Which hosts may see the credentials of an entry: checked when a map is prepared, and again when a server is called."""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from junctor.connectormap.ids import registry_entry_id
from junctor.connectormap.target import Target
from junctor.net.globs import Globs

#: Characters that every reader of URLs understands alike, so that the host that is checked is the one that is called.
_PLAIN_HOST: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+", re.ASCII)


def is_host_allowed(connector_id: str, target: Target, *, has_credentials: bool) -> bool:
    """Whether what an entry sends may go to the host of its URL. Raises ValueError for an invalid URL.

    A discovered server without `hosts` gets no credentials, because whoever published it chose the URL.
    """
    if target.hosts is None:
        return not (has_credentials and registry_entry_id(connector_id))
    host = urlsplit(target.url).hostname or ""
    return _PLAIN_HOST.fullmatch(host) is not None and _globs(target.hosts).matches(host)


@lru_cache(maxsize=1024)
def _globs(hosts: tuple[str, ...]) -> Globs:
    return Globs(hosts, ignore_case=True)
