"""Suggests the entry of spec.credentials that a server needs, from the values that its record requires."""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from junctor.net.formats import KubernetesObject, KubernetesObjectView
from junctor.registry.records import HeaderInput, Input, Remote
from junctor.registry.templates import Parts, filled_url, names_in

#: Where the owner has to write a value.
_PLACEHOLDER: Final = "replace-me"
_LOOKS_SECRET: Final = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


class Need(NamedTuple):
    """A value that a remote takes.

    kind: "header" or "variable". header: the header that the variable is part of, "" for none. by_owner: whether the value has to come
    from spec.credentials.
    """

    kind: str
    name: str
    input: Input
    header: str = ""
    by_owner: bool = False


def needs_of(remote: Remote) -> Iterator[Need]:
    """Iterate over the values that a remote takes, except for those that its record fixes."""
    for name in names_in(remote.url):
        variable = remote.variables.get(name, Input())
        yield Need("variable", name, variable, by_owner=_is_open(variable))
    for header in remote.headers:
        yield from _needs_of_header(header)


def _needs_of_header(header: HeaderInput) -> Iterator[Need]:
    value = header.input
    if value.value is None:
        yield Need("header", header.name, value, by_owner=value.required and _is_open(value))
        return
    for name in names_in(value.value):
        if name in header.variables:
            variable = header.variables[name]
            needed = _is_open(variable) and (value.required or variable.required)
            yield Need("variable", name, variable, header.name, by_owner=needed)


def _is_open(value: Input) -> bool:
    return value.value is None and value.default is None


def suggested_credentials(name: str, remote: Remote) -> KubernetesObjectView | None:
    """Return an entry of spec.credentials for the server `name`, None when it needs none.

    Raises Unusable when no entry can make the remote usable.
    """
    needs = [need for need in needs_of(remote) if need.by_owner]
    if not needs:
        return None
    secret = re.sub(r"[^a-z0-9]+", "-", name.partition("/")[2].lower()).strip("-") or "server"
    entry: KubernetesObject = {"servers": [name], "hosts": [_host(remote, needs)]}
    headers, variables = [], {}
    for need in needs:
        source = _source(need, secret)
        if need.kind == "header" and need.name.lower() == "authorization":
            entry["auth"] = {"bearer": source["valueFrom"]}
        elif need.kind == "header":
            headers.append({"name": need.name, **source})
        else:
            variables[need.name] = {"name": need.name, **source}
    return entry | ({"headers": headers} if headers else {}) | ({"variables": list(variables.values())} if variables else {})


def looks_secret(name: str) -> bool:
    """Whether the value of a header or variable of this name is probably a secret."""
    return _LOOKS_SECRET.search(name) is not None


def _source(need: Need, secret: str) -> KubernetesObject:
    if need.input.secret or looks_secret(need.name) or looks_secret(need.header):
        key = re.sub(r"[^a-z0-9._-]+", "-", need.name.lower())
        return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
    return {"value": _plain(need.input)}


def _plain(value: Input) -> str:
    return value.choices[0] if value.choices else _PLACEHOLDER


def _host(remote: Remote, needs: list[Need]) -> str:
    values: dict[str, Parts] = {need.name: (_plain(need.input),) for need in needs if need.kind == "variable" and not need.header}
    try:
        return urlsplit(filled_url(remote.url, remote.variables, values)).hostname or _PLACEHOLDER
    except ValueError:
        return _PLACEHOLDER
