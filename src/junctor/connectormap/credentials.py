"""The credentials that entries name: their names, the Secrets that store them, and how to find them in an entry.

The name of a credential is `<refhash>.<version>`: the first part stands for one key of a Secret, the second for its value. An entry whose
Secrets have not been resolved yet contains the `<refhash>` alone, the *reference*. Every object within an entry, at any depth, may name a
credential in its field `credential`.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Final

#: A Secret may hold 1 MiB of base64 and metadata; values are raw here (3/4 of it), so this leaves room for keys and metadata.
CREDENTIALS_LIMIT: Final = 900 * 1024 * 3 // 4
CREDENTIAL_OBJECTS: Final = 16
_KEY: Final = "credential"
_CONTAINERS: Final = (dict, list, tuple)


@lru_cache(maxsize=1024)
def reference_hash(namespace: str, name: str, key: str) -> str:
    """16 hex digits that stand for one Secret key of a cluster."""
    return hashlib.sha256(f"{namespace}/{name}/{key}".encode()).hexdigest()[:16]


def credential_version(installation_key: bytes, value: bytes) -> str:
    """16 hex digits that change with the value and reveal nothing about it without the installation's key."""
    return hmac.new(installation_key, value, hashlib.sha256).hexdigest()[:16]


def reference_of(credential: str) -> str:
    """The reference of a credential: `<refhash>` of `<refhash>.<version>`."""
    return credential.partition(".")[0]


def credential_object(credential: str) -> int:
    """Which of the 16 credential Secrets holds `<refhash>.<version>`."""
    return int(credential[0], 16) % CREDENTIAL_OBJECTS


def credential_object_name(map_name: str, number: int) -> str:
    """Name of a credential Secret."""
    return f"{map_name}-credentials-{number}"


def credentials_in(content: Any) -> tuple[str, ...]:
    """The credentials that an entry's content names, each once, in order."""
    found = {item[_KEY] for item in _objects_in(content) if isinstance(item.get(_KEY), str)}
    return tuple(sorted(found)) if found else ()


def rename_credentials(content: Any, rename: Callable[[str], str]) -> None:
    """Rename the credentials that an entry's content names, in place."""
    for item in _objects_in(content):
        if isinstance(item.get(_KEY), str):
            item[_KEY] = rename(item[_KEY])


def _objects_in(content: Any) -> list[Any]:
    """The objects of a JSON value, at any depth."""
    objects = []
    containers = [content]
    for container in containers:  # grows while it is read: a list is faster here than recursion
        if isinstance(container, dict):
            objects.append(container)
            items: Iterable[Any] = container.values()
        else:
            items = container
        for item in items:
            if isinstance(item, _CONTAINERS):
                containers.append(item)
    return objects
