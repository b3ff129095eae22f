"""The entry of spec.credentials that a server would need, made from what its record asks for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from junctor.cli.registry_source import looks_secret
from junctor.registry.records import HeaderInput, Input, Remote
from junctor.registry.templates import Parts, filled_url, names_in

#: Stands where the reader has to write a value.
_PLACEHOLDER = "replace-me"


class Need(NamedTuple):
    """A value that a remote takes. header: of which a variable is part. by_owner: it has to come from spec.credentials."""

    kind: str
    name: str
    input: Input
    header: str = ""
    by_owner: bool = False


def needs_of(remote: Remote) -> Iterator[Need]:
    """All values that a remote takes, those with a fixed value aside."""
    for name in names_in(remote.url):
        wanted = remote.variables.get(name, Input())
        yield Need("variable", name, wanted, by_owner=_is_open(wanted))
    for header in remote.headers:
        yield from _needs_of_header(header)


def _needs_of_header(header: HeaderInput) -> Iterator[Need]:
    wanted = header.input
    if wanted.value is None:
        yield Need("header", header.name, wanted, by_owner=wanted.required and _is_open(wanted))
        return
    for name in names_in(wanted.value):
        if name in header.variables:
            variable = header.variables[name]
            needed = _is_open(variable) and (wanted.required or variable.required)
            yield Need("variable", name, variable, header.name, by_owner=needed)


def _is_open(wanted: Input) -> bool:
    return wanted.value is None and wanted.default is None


def credentials_for(name: str, remote: Remote) -> Mapping[str, Any] | None:
    """An entry of spec.credentials for the server `name`; None when it needs none. Raises Unusable when no entry can help."""
    needs = [need for need in needs_of(remote) if need.by_owner]
    if not needs:
        return None
    secret = re.sub(r"[^a-z0-9]+", "-", name.partition("/")[2].lower()).strip("-") or "server"
    entry: dict[str, Any] = {"servers": [name], "hosts": [_host(remote, needs)]}
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


def _source(need: Need, secret: str) -> dict[str, Any]:
    if need.input.secret or looks_secret(need.name) or looks_secret(need.header):
        key = re.sub(r"[^a-z0-9._-]+", "-", need.name.lower())
        return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
    return {"value": _plain(need.input)}


def _plain(wanted: Input) -> str:
    return wanted.choices[0] if wanted.choices else _PLACEHOLDER


def _host(remote: Remote, needs: list[Need]) -> str:
    given: dict[str, Parts] = {need.name: (_plain(need.input),) for need in needs if need.kind == "variable" and not need.header}
    try:
        return urlsplit(filled_url(remote.url, remote.variables, given)).hostname or _PLACEHOLDER
    except ValueError:
        return _PLACEHOLDER
