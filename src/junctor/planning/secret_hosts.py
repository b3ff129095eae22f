"""The hosts to which the owner of a Secret binds its values: the annotation junctor.dev/credential-hosts, as names and globs."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from junctor.api.endpoint import SecretKeyRef
from junctor.api.resources import RegistryResource, Resource
from junctor.net.globs import Globs

#: An annotation that names more hosts, or a longer one, allows none: each host of each connector is compared with all of them.
_MOST_HOSTS: Final = 64
_LONGEST_HOST: Final = 253
#: In one host. Each costs time, in the operator and in every gateway, when a host is compared with the glob for the first time.
MOST_STARS: Final = 8


def bound_hosts(annotation: object) -> tuple[str, ...] | None:
    """The hosts that an annotation names; none at all for one that cannot be used, since somebody wanted to bind the values."""
    if annotation is None:
        return None
    hosts = tuple(annotation.lower().replace(",", " ").split()) if isinstance(annotation, str) else ()
    is_usable = len(hosts) <= _MOST_HOSTS and all(len(host) <= _LONGEST_HOST and host.count("*") <= MOST_STARS for host in hosts)
    return hosts if is_usable else ()


@lru_cache(maxsize=1024)
def _globs(hosts: tuple[str, ...], without_question_marks: bool) -> Globs:
    return Globs((host for host in hosts if not (without_question_marks and "?" in host)), ignore_case=True)


def allows_host(hosts: tuple[str, ...] | None, host: str) -> bool:
    """Whether values bound to `hosts` (None: to none in particular) may go to a host, or to every host that a glob matches.

    A glob is within another one when that matches its text: `*` in the text is matched by a `*` only.
    """
    if hosts is None:
        return True
    host = host.lower()
    return host in hosts or _globs(hosts, "*" in host or "?" in host).matches(host)


def destinations(resource: Resource) -> Mapping[SecretKeyRef, tuple[str, ...]]:
    """The hosts, as names or globs, that would get the value of each reference of a valid resource."""
    if resource.spec is None:
        return {}
    own = host_of(resource.spec.url or "")
    if not isinstance(resource, RegistryResource):
        return dict.fromkeys(resource.secret_refs, (own,))
    found: dict[SecretKeyRef, dict[str, None]] = {}
    for place, ref in resource.spec.secret_refs():
        if not place.startswith("credentials["):
            found.setdefault(ref, {})[own] = None
    for entry in resource.spec.credentials or ():
        for _, ref in entry.secret_refs():
            found.setdefault(ref, {}).update(dict.fromkeys(entry.hosts))
    return {ref: tuple(hosts) for ref, hosts in found.items()}


def host_of(url: str) -> str:
    """The host of a URL in lower case, "" for none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
