"""Maps a server's record to an entry of the connector map, by the rules of the MCPRegistry. Pure, and suspicious: the publisher of a record
chooses its text, its address and the values that it requires.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.connectormap.contents import ServerContent
from junctor.connectormap.entry import ENTRY_LIMIT, Entry
from junctor.connectormap.target import CredentialRef, Header
from junctor.net.addresses import private_host
from junctor.net.headers import CONNECTION_HEADERS, MCP_HEADERS, is_header_name
from junctor.registry.records import Remote, ServerRecord
from junctor.registry.rules import TRANSPORTS, CredentialRule, MappingRules
from junctor.registry.templates import Parts, Secret, Unusable, filled_header, filled_url

#: Publishers may not choose these headers: the transport and the MCP protocol set them.
_RESERVED: Final = CONNECTION_HEADERS | MCP_HEADERS
_USERINFO: Final = re.compile(r"https?://[^/?#]*@", re.IGNORECASE)
#: ASCII only (RFC 3986), because clients derive different hosts from other characters.
_URL: Final = re.compile(
    r"https?://(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]{1,253}))(?::(?P<port>[0-9]{0,5}))?"
    r"(?:[/?#][!#-;=?-\[\]_a-z~]*)?",
    re.IGNORECASE | re.ASCII,
)
_MAX_URL: Final = 2048


class Skipped(NamedTuple):
    """A server that does not become a connector. detail: what is wrong with this one, "" when the reason says it all."""

    reason: SkipReason
    detail: str = ""


def map_server(record: ServerRecord, rules: MappingRules) -> Entry | Skipped:
    """Return the entry of a server, with references in place of credentials (see `Discovered`); or the reason why it has none."""
    skipped = _filtered(record, rules)
    if skipped is not None:
        return skipped
    candidates, skipped = _candidates(record, rules)
    for remote in candidates:
        try:
            entry = _entry(record, remote, rules)
        except Unusable as unusable:
            skipped = skipped or Skipped(unusable.reason, unusable.detail)
            continue
        if entry.size > ENTRY_LIMIT:
            return Skipped(SkipReason.TOO_LARGE, f"{entry.size // 1024} KiB in the map, at most {ENTRY_LIMIT // 1024}")
        return entry
    return skipped or Skipped(SkipReason.NO_REMOTE)


def _filtered(record: ServerRecord, rules: MappingRules) -> Skipped | None:
    if record.status == "deleted":
        return Skipped(SkipReason.DELETED)
    if not rules.selects_name(record.name) or not rules.selects_status(record.status):
        return Skipped(SkipReason.FILTERED)
    return None


def _candidates(record: ServerRecord, rules: MappingRules) -> tuple[list[Remote], Skipped | None]:
    """Return the usable remotes, the preferred one first: streamable-http before sse, else in the publisher's order."""
    found = [remote for kind in rules.transports for remote in record.remotes if remote.type == kind]
    if found or not record.remotes:
        return found, None
    offered = sorted({repr(remote.type[:40]) for remote in record.remotes})
    return [], Skipped(SkipReason.UNSUPPORTED_TRANSPORT, f"it has {', '.join(offered[:4])}")


def _entry(record: ServerRecord, remote: Remote, rules: MappingRules) -> Entry:
    url, rule = _url_and_rule(record, remote, rules)
    headers, bearer = _headers(remote, rule, rules)
    return ServerContent(
        id=rules.id_of(record.name),
        url=url,
        transport=TRANSPORTS[remote.type],
        version=record.version,
        title=record.title,
        description=record.description,
        is_deprecated=record.status == "deprecated",
        headers=headers,
        bearer=None if bearer is None else CredentialRef(bearer.reference),
        hosts=None if rule is None else rule.host_globs,
    ).entry()


def _url_and_rule(record: ServerRecord, remote: Remote, rules: MappingRules) -> tuple[str, CredentialRule | None]:
    """Return the URL, and the first credential rule whose servers match the name and whose hosts match the filled URL."""
    matching = [rule for rule in rules.credential_rules if rule.servers.matches(record.name)]
    if not matching:
        return _url(remote, {}, rules)[0], None
    failures = []
    for rule in matching:
        try:
            url, host = _url(remote, rule.variables, rules)
        except Unusable as unusable:
            failures.append(unusable)
            continue
        if rule.hosts.matches(host):
            return url, rule
        failures.append(Unusable(SkipReason.HOST_NOT_ALLOWED, f"its host {host} is not among the hosts of its credentials"))
    raise failures[0]


def _url(remote: Remote, values: Mapping[str, Parts], rules: MappingRules) -> tuple[str, str]:
    """Return the URL with its variables filled in, and its host."""
    url = filled_url(remote.url, remote.variables, values)
    if _USERINFO.match(url):
        raise Unusable(SkipReason.INVALID_RECORD, "its URL holds a user name or password")
    host = _host(url)
    if host is None:
        raise Unusable(SkipReason.INVALID_RECORD, "its URL is not an absolute http or https address in ASCII")
    if not rules.allow_insecure and url[:6].lower() != "https:":
        raise Unusable(SkipReason.INSECURE_URL, f"http to {host}")
    private = "" if rules.allow_private else private_host(host)
    if private:
        raise Unusable(SkipReason.PRIVATE_ADDRESS, f"{host}: {private}")
    return url, host


def _host(url: str) -> str | None:
    """Return the host of a URL in lower case, without brackets; None for an invalid URL. Strict: clients disagree about odd ones."""
    found = _URL.fullmatch(url) if len(url) <= _MAX_URL else None
    if found is None or int(found["port"] or 0) > 65535:
        return None
    if found["ipv6"] is None:
        return found["name"].lower()
    try:
        ipaddress.IPv6Address(found["ipv6"])
    except ValueError:
        return None
    return found["ipv6"].lower()


def _headers(remote: Remote, rule: CredentialRule | None, rules: MappingRules) -> tuple[tuple[Header, ...], Secret | None]:
    """Return the headers and the bearer token. The owner's headers replace those that the publisher requires."""
    headers: dict[str, tuple[str, Parts]] = {}
    own: Mapping[str, tuple[str, Parts]] = {} if rule is None else rule.headers
    bearer = None if rule is None else rule.bearer
    for header in remote.headers:
        key = header.name.lower()
        if key in _RESERVED or not is_header_name(header.name):
            raise Unusable(SkipReason.INVALID_RECORD, f"it asks for the header {header.name[:80]!r}, which it cannot set")
        if key in own or (key == "authorization" and (bearer is not None or rules.callers_authorize)):
            continue
        parts = filled_header(header, {} if rule is None else rule.variables)
        if parts is not None:
            headers[key] = header.name, parts
    token = _bearer_of(headers.get("authorization", ("", ()))[1])
    if token is not None:
        bearer = token
        del headers["authorization"]
    return tuple(_header(name, parts) for name, parts in {**headers, **own}.values()), bearer


def _bearer_of(parts: Parts) -> Secret | None:
    """Return the token of `Bearer <token>`: as a bearer token, a caller's authorization can replace it."""
    if len(parts) == 2 and isinstance(parts[0], str) and parts[0].lower() == "bearer " and isinstance(parts[1], Secret):
        return parts[1]
    return None


def _header(name: str, parts: Parts) -> Header:
    return Header(name, tuple(part if isinstance(part, str) else CredentialRef(part.reference) for part in parts))
