"""A server's record as an entry of the connector map, by the rules of the registry's resource. Pure, and suspicious: the publisher of a
record chooses its text, its address and what it asks for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from junctor.api.addresses import private_host
from junctor.api.conditions import SkipReason
from junctor.api.connector_map import ENTRY_LIMIT, REGISTRY_FEATURE, Entry, canonical, reference_hash, sha256
from junctor.api.credentials import Credentials
from junctor.api.endpoint import RESERVED_HEADERS, Header, SecretKeyRef
from junctor.api.globs import Globs
from junctor.api.registry import Filter, MCPRegistrySpec, discovered_id
from junctor.registry.records import HeaderInput, Input, Remote, ServerRecord

#: Part of the digest: raise it when the same record becomes another entry, so that everything is mapped anew.
MAPPING_VERSION: Final = 1
DEFAULT_MAX_CONNECTORS: Final = 100_000

_TRANSPORTS: Final = {"streamable-http": "StreamableHTTP", "sse": "SSE"}
_VARIABLE: Final = re.compile(r"\{([^{}\x00-\x1f\x7f]{1,128})\}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_URL: Final = re.compile(r"https?://[^\x00-\x20\x7f\"<>\\^`{|}]+", re.IGNORECASE)
_PRINTABLE: Final = re.compile(r"[\x20-\x7e\t]*")
_MAX_HEADER: Final = 4096


class Skipped(NamedTuple):
    """A server that does not become a connector. detail: what is wrong with this one, "" when the reason says it all."""

    reason: SkipReason
    detail: str = ""


class _Unusable(Exception):
    """A remote that cannot be used."""

    def __init__(self, reason: SkipReason, detail: str) -> None:
        super().__init__(detail)
        self.skipped = Skipped(reason, detail)


class Secret(NamedTuple):
    """The place of a secret in a value. reference: see connector_map.reference_hash."""

    reference: str


#: Text and secrets, one after the other.
Parts = Sequence[str | Secret]


@dataclass(frozen=True, slots=True)
class _Grant:
    """An entry of spec.credentials, ready to be applied."""

    servers: Globs
    hosts: Globs
    host_globs: tuple[str, ...]
    headers: Mapping[str, tuple[str, Parts]]
    bearer: Secret | None
    variables: Mapping[str, Parts]


@dataclass(frozen=True, slots=True)
class MappingRules:
    """What of an MCPRegistry decides which servers are published and how. digest: of all that."""

    registry_id: str
    digest: str
    filter: Filter = field(repr=False)
    allow_insecure: bool = False
    allow_private: bool = False
    callers_authorize: bool = False
    include: Globs | None = field(default=None, repr=False)
    exclude: Globs = field(default_factory=lambda: Globs(()), repr=False)
    grants: tuple[_Grant, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, spec: MCPRegistrySpec, registry_id: str, namespace: str) -> Self:
        """The rules of a valid spec. namespace: where its Secrets are."""
        chosen = spec.filter or Filter()
        template = spec.connector_template
        callers_authorize = template is not None and template.caller_authorization == "Require"
        decisive = {
            "version": MAPPING_VERSION,
            "id": registry_id,
            "namespace": namespace,
            "url": spec.url,
            "filter": chosen.to_json(),
            "insecure": bool(spec.allow_insecure_urls),
            "private": bool(spec.allow_private_addresses),
            "callers": callers_authorize,
            "credentials": [entry.to_json() for entry in spec.credentials or ()],
        }
        return cls(
            registry_id,
            sha256(canonical(decisive)),
            chosen,
            bool(spec.allow_insecure_urls),
            bool(spec.allow_private_addresses),
            callers_authorize,
            Globs(chosen.include) if chosen.include is not None else None,
            Globs(chosen.exclude or ()),
            tuple(_grant(entry, namespace) for entry in spec.credentials or ()),
        )

    @property
    def max_connectors(self) -> int:
        """The most servers that are published."""
        return self.filter.max_connectors or DEFAULT_MAX_CONNECTORS

    def id_of(self, name: str) -> str:
        """The connector id of a server."""
        return discovered_id(self.registry_id, name)

    def selects_name(self, name: str) -> bool:
        """Whether the owner's globs let a server through."""
        return (self.include is None or self.include.matches(name)) and not self.exclude.matches(name)


def map_server(record: ServerRecord, rules: MappingRules) -> Entry | Skipped:
    """The entry of a server, with references in place of credentials (see `Discovered`); or why there is none."""
    skipped = _filtered(record, rules)
    if skipped is not None:
        return skipped
    candidates, skipped = _candidates(record, rules)
    for remote in candidates:
        try:
            entry = Entry.of(_content(record, remote, rules))
        except _Unusable as unusable:
            skipped = skipped or unusable.skipped
            continue
        if entry.size > ENTRY_LIMIT:
            return Skipped(SkipReason.TOO_LARGE, f"{entry.size // 1024} KiB in the map, at most {ENTRY_LIMIT // 1024}")
        return entry
    return skipped or Skipped(SkipReason.NO_REMOTE)


def unavailable(entry: Entry, reason: SkipReason) -> Entry:
    """What remains of a published entry that may not be called any more: listed, with the reason, and without address and credentials."""
    kept = {key: value for key, value in entry.content.items() if key in ("id", "title", "description", "version", "requires")}
    return Entry.of(kept | {"available": False, "reason": str(reason)})


def _filtered(record: ServerRecord, rules: MappingRules) -> Skipped | None:
    if record.status == "deleted":
        return Skipped(SkipReason.DELETED)
    if not rules.selects_name(record.name) or record.status not in (rules.filter.statuses or ("active", "deprecated")):
        return Skipped(SkipReason.FILTERED)
    search = (rules.filter.search or "").casefold()
    # Some registries look into more than the name.
    if search and not any(search in text.casefold() for text in (record.name, record.title, record.description)):
        return Skipped(SkipReason.FILTERED)
    return None


def _candidates(record: ServerRecord, rules: MappingRules) -> tuple[list[Remote], Skipped | None]:
    """The remotes that may be used, the best first: streamable-http before sse, else as the publisher ordered them."""
    wanted = rules.filter.transports
    kinds = [kind for kind in _TRANSPORTS if not wanted or kind in wanted]
    found = [remote for kind in kinds for remote in record.remotes if remote.type == kind]
    if found or not record.remotes:
        return found, None
    if any(remote.type in _TRANSPORTS for remote in record.remotes):
        return [], Skipped(SkipReason.FILTERED)
    return [], Skipped(SkipReason.UNSUPPORTED_TRANSPORT, ", ".join(sorted({remote.type[:40] for remote in record.remotes})))


def _content(record: ServerRecord, remote: Remote, rules: MappingRules) -> dict[str, Any]:
    granted = [grant for grant in rules.grants if grant.servers.matches(record.name)]
    given = {name: value for grant in granted[:1] for name, value in grant.variables.items()}
    url, host = _url(remote, given, rules)
    grant = next((grant for grant in granted if grant.hosts.matches(host)), None)
    if granted and grant is None:
        raise _Unusable(SkipReason.HOST_NOT_ALLOWED, f"its host {host} is not among the hosts of its credentials")
    if grant is not None and grant.variables is not granted[0].variables:
        url, again = _url(remote, grant.variables, rules)
        if not grant.hosts.matches(again):
            raise _Unusable(SkipReason.HOST_NOT_ALLOWED, f"its host {again} is not among the hosts of its credentials")
    headers, bearer = _headers(remote, grant, rules)
    content: dict[str, Any] = {
        "id": rules.id_of(record.name),
        "available": True,
        "url": url,
        "transport": _TRANSPORTS[remote.type],
        "version": record.version,
        "requires": [REGISTRY_FEATURE],
    }
    if record.title:
        content["title"] = record.title
    if record.description:
        content["description"] = record.description
    if record.status == "deprecated":
        content["deprecated"] = True
    if headers:
        content["headers"] = headers
    if bearer is not None:
        content["auth"] = {"bearer": {"credential": bearer.reference}}
    if grant is not None:
        content["hosts"] = list(grant.host_globs)
    return content


def _url(remote: Remote, given: Mapping[str, Parts], rules: MappingRules) -> tuple[str, str]:
    """The URL with its variables filled in, and its host."""
    parts = _filled(remote.url, remote.variables, given, "its URL")
    if any(isinstance(part, Secret) for part in parts):
        raise _Unusable(SkipReason.CONFIGURATION_REQUIRED, "its URL asks for a secret, and URLs are written to logs and catalogs")
    url = "".join(part for part in parts if isinstance(part, str))
    missing = _VARIABLE.search(url)
    if missing is not None:
        raise _Unusable(SkipReason.CONFIGURATION_REQUIRED, f"its URL needs the variable {missing[1]!r}")
    try:
        split = urlsplit(url)
        host, _ = split.hostname or "", split.port
    except ValueError:
        host, split = "", urlsplit("")
    if not host or not _URL.fullmatch(url) or len(url) > 2048:
        raise _Unusable(SkipReason.INVALID_RECORD, "its URL is not an absolute http or https address")
    if split.username is not None or split.password is not None:
        raise _Unusable(SkipReason.INVALID_RECORD, "its URL holds a user name or password")
    if split.scheme != "https" and not rules.allow_insecure:
        raise _Unusable(SkipReason.INSECURE_URL, f"http to {host}")
    private = "" if rules.allow_private else private_host(host)
    if private:
        raise _Unusable(SkipReason.PRIVATE_ADDRESS, private)
    return url, host


def _headers(remote: Remote, grant: _Grant | None, rules: MappingRules) -> tuple[list[dict[str, Any]], Secret | None]:
    """The headers in the map's form, and the bearer token: what the owner gives goes before what the publisher wants."""
    wanted: dict[str, tuple[str, Parts]] = {}
    own = {} if grant is None else dict(grant.headers)
    bearer = None if grant is None else grant.bearer
    for header in remote.headers:
        key = header.name.lower()
        if key in RESERVED_HEADERS or not _HEADER_NAME.fullmatch(header.name):
            raise _Unusable(SkipReason.INVALID_RECORD, f"it asks for the header {header.name[:80]!r}, which it cannot set")
        if key in own or (key == "authorization" and (bearer is not None or rules.callers_authorize)):
            continue
        parts = _header_value(header, {} if grant is None else grant.variables)
        if parts is not None:
            wanted[key] = header.name, parts
    token = _bearer_of(wanted.get("authorization", ("", ()))[1])
    if token is not None and "authorization" not in own:
        bearer = token
        del wanted["authorization"]
    return [_header(name, parts) for name, parts in {**wanted, **own}.values()], bearer


def _header_value(header: HeaderInput, given: Mapping[str, Parts]) -> Parts | None:
    """The value of a header that the publisher asks for; None for one that may be left out."""
    wanted = header.input
    where = f"the header {header.name[:80]!r}"
    if wanted.value is not None:
        parts = _filled(wanted.value, header.variables, given, where)
        missing = next((found[1] for part in parts if isinstance(part, str) and (found := _VARIABLE.search(part))), None)
        if missing is None:
            return _checked(parts, where)
        if missing not in header.variables:
            return _checked(parts, where)  # braces that are no variable stay as they are
        if wanted.required or header.variables[missing].required:
            raise _Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} needs the variable {missing!r}")
        return None
    value = _given(header.name, wanted, given, where)
    if value is not None:
        return _checked(value, where)
    if wanted.required:
        raise _Unusable(SkipReason.CONFIGURATION_REQUIRED, f"it needs {where}")
    return None


def _filled(template: str, variables: Mapping[str, Input], given: Mapping[str, Parts], where: str) -> list[str | Secret]:
    """A template with what is known filled in, once: values are never templates themselves. Unknown variables stay as they are."""
    parts: list[str | Secret] = []
    rest = 0
    for found in _VARIABLE.finditer(template):
        name = found[1]
        value = _given(name, variables.get(name, Input()), given, f"the variable {name!r} of {where}")
        if value is None:
            continue
        parts += [template[rest : found.start()], *value]
        rest = found.end()
    parts.append(template[rest:])
    return parts


def _given(name: str, wanted: Input, given: Mapping[str, Parts], where: str) -> Parts | None:
    """The value of an input: the publisher's fixed one, the owner's, or the default; None when there is none."""
    if wanted.value is not None:
        return (wanted.value,)
    owned = given.get(name)
    if owned is None:
        return None if wanted.default is None else (wanted.default,)
    plain = owned[0] if len(owned) == 1 and isinstance(owned[0], str) else None
    if wanted.choices and plain is not None and plain not in wanted.choices:
        choices = ", ".join(wanted.choices[:8])[:200]
        raise _Unusable(SkipReason.CONFIGURATION_REQUIRED, f"{where} must be one of {choices}")
    return owned


def _checked(parts: Parts, where: str) -> Parts:
    texts = [part for part in parts if isinstance(part, str)]
    if not all(_PRINTABLE.fullmatch(text) for text in texts) or sum(map(len, texts)) > _MAX_HEADER:
        raise _Unusable(SkipReason.INVALID_RECORD, f"{where} is not printable ASCII of at most {_MAX_HEADER} characters")
    return parts


def _bearer_of(parts: Parts) -> Secret | None:
    """The token of `Bearer <token>`, the form in which a caller's authorization can replace it."""
    filled = [part for part in parts if part != ""]
    if len(filled) == 2 and isinstance(filled[0], str) and filled[0].strip().lower() == "bearer" and isinstance(filled[1], Secret):
        return filled[1]
    return None


def _header(name: str, parts: Parts) -> dict[str, Any]:
    filled = [part for part in parts if part != ""]
    if not any(isinstance(part, Secret) for part in filled):
        return {"name": name, "value": "".join(part for part in filled if isinstance(part, str))}
    if len(filled) == 1 and isinstance(filled[0], Secret):
        return {"name": name, "credential": filled[0].reference}
    return {"name": name, "parts": [{"credential": part.reference} if isinstance(part, Secret) else part for part in filled]}


def _grant(entry: Credentials, namespace: str) -> _Grant:
    def secret(ref: SecretKeyRef) -> Secret:
        return Secret(reference_hash(namespace, ref.name, ref.key))

    def value_of(header: Header) -> Parts:
        return (secret(header.value_from.secret_key_ref),) if header.value_from else (header.value or "",)

    return _Grant(
        Globs(entry.servers),
        Globs(entry.hosts, ignore_case=True),
        entry.hosts,
        {header.name.lower(): (header.name, value_of(header)) for header in entry.headers or ()},
        secret(entry.auth.bearer.secret_key_ref) if entry.auth and entry.auth.bearer else None,
        {
            variable.name: (secret(variable.value_from.secret_key_ref),) if variable.value_from else (variable.value or "",)
            for variable in entry.variables or ()
        },
    )
