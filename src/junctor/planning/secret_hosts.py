"""The hosts to which the owner of a Secret binds its values: the annotation junctor.dev/credential-hosts, as names and globs."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from junctor.api.endpoint import SecretKeyRef
from junctor.api.resources import RegistryResource, Resource
from junctor.net.globs import Globs


def allows_host(hosts: tuple[str, ...] | None, host: str) -> bool:
    """Whether values bound to `hosts` (None: to none in particular) may go to a host, or to every host that a glob matches.

    A glob is within another one when that matches its text: `*` in the text is matched by a `*` only.
    """
    if hosts is None:
        return True
    has_wildcards = "*" in host or "?" in host
    usable = tuple(known for known in hosts if not (has_wildcards and "?" in known)) + (host.lower(),) * (host.lower() in hosts)
    return Globs(usable, ignore_case=True).matches(host)


def destinations(resource: Resource) -> Mapping[SecretKeyRef, tuple[str, ...]]:
    """The hosts, as names or globs, that would get the value of each reference of a valid resource."""
    if resource.spec is None:
        return {}
    own = host_of(resource.spec.url or "")
    if not isinstance(resource, RegistryResource):
        return dict.fromkeys(resource.secret_refs, (own,))
    found: dict[SecretKeyRef, tuple[str, ...]] = {}
    for place, ref in resource.spec.secret_refs():
        if not place.startswith("credentials["):
            found[ref] = (*found.get(ref, ()), own)
    for entry in resource.spec.credentials or ():
        for _, ref in entry.secret_refs():
            found[ref] = (*found.get(ref, ()), *entry.hosts)
    return found


def host_of(url: str) -> str:
    """The host of a URL in lower case, "" for none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
