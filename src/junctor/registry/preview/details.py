"""Describes one server of a registry: its versions, where it runs, whether it would become a connector, and what it lacks.

UnknownServer    the registry has no such server, or not in this version
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from junctor.api.conditions import SkipReason
from junctor.api.reasons import SKIP_REASONS
from junctor.api.registry import MCPRegistrySpec
from junctor.connectormap.entry import Entry
from junctor.net.formats import KubernetesObjectView
from junctor.registry.client import RegistryClient
from junctor.registry.errors import NotARegistry
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.preview.credentials import Need, needs_of, suggested_credentials
from junctor.registry.preview.description import (
    ChosenVersion,
    HeaderField,
    HintFields,
    NeedDescription,
    Places,
    RecordTexts,
    RemoteDescription,
    ServerDescription,
    Suggestion,
    VerdictDescription,
    VersionDescription,
)
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan
from junctor.registry.templates import Unusable
from junctor.registry.versions import order_key

_TRANSPORTS = ("streamable-http", "sse")
_MOST_PACKAGES = 32


class UnknownServer(Exception):
    """The registry has no such server. versions: those that it has of the server, empty when it does not know the server at all."""

    def __init__(self, message: str, versions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.versions = versions


class PreviewedRegistry(NamedTuple):
    """A registry to preview. is_named: whether its id is known, so that connector ids can be told."""

    spec: MCPRegistrySpec
    rules: MappingRules
    is_named: bool


class ServerRecords(NamedTuple):
    """What a registry says of a server. versions: one record of each. current: of the version that it calls the latest, if any."""

    versions: Sequence[Any]
    current: Any


async def read_records(client: RegistryClient, name: str, version: str | None) -> ServerRecords:
    """Read the records of a server.

    version: read as well when the registry does not list it, as a deleted one; None for none. Raises RegistryError.
    """
    try:
        known = list(await client.versions(name))
        if version is not None and version not in map(_version, known):
            one = await client.server(name, version)
            known += [] if one is None else [one]
        return ServerRecords(known, await client.server(name))
    except NotARegistry:
        # Some registries have only lists. What is no registry at all fails here as well.
        page = await client.page(search=name, latest=False)
        return ServerRecords(page.records, None)


def describe_server(records: ServerRecords, name: str, version: str | None, registry: PreviewedRegistry) -> ServerDescription:
    """Return the description of a server.

    Args:
        records: what the registry says of the server.
        name: of the server.
        version: the one to describe, None for the one that would become a connector.
        registry: of the server.

    Raises:
        UnknownServer: there is no such server, or version.
    """
    known = records.versions
    scan = RegistryScan(registry.rules, {})
    # As the operator does: the version that the registry calls the latest, or the newest where it does not tell.
    scan.add_page(known if _version(records.current) is None else [records.current], None)
    if name not in scan.servers:
        raise UnknownServer(f"{registry.spec.url} has no server {name}")
    chosen = version or scan.servers[name].version
    versions = _versions(known, name)
    raw = next((raw for raw in (*known, records.current) if _version(raw) == chosen), None)
    if version is not None and raw is None:
        raise UnknownServer(f"{name} has no version {version}", [item["version"] for item in versions])
    return _description({"name": name, "version": chosen, "versions": versions}, raw, scan.servers[name].outcome, registry)


def _description(chosen: ChosenVersion, raw: Any, outcome: Entry | Skipped, registry: PreviewedRegistry) -> ServerDescription:
    """Describe a version by its record. raw: None when no record of it can be read; `outcome`, of the scan, is then all that is known."""
    texts: RecordTexts = {}
    places: Places = {}
    suggestion: Suggestion = {}
    if raw is not None:
        record = ServerRecord.parse(raw)
        outcome = map_server(record, registry.rules)
        texts = {"status": record.status, "title": record.title, "description": record.description}
        remotes = [_remote(remote.type, remote.url, list(needs_of(remote))) for remote in record.remotes]
        places = {"remotes": remotes, "packages": _packages(raw)}
        if isinstance(outcome, Skipped) and outcome.reason is SkipReason.CONFIGURATION_REQUIRED:
            suggestion = _suggested(record, registry)
    return {**chosen, **texts, **_verdict(outcome, registry), **places, **suggestion}


def _version(raw: Any) -> str | None:
    try:
        return ServerRecord.parse(raw).version
    except InvalidRecord:
        return None


def _versions(records: Sequence[Any], name: str) -> list[VersionDescription]:
    """Return the versions of a server, the newest first."""
    read = []
    for raw in records:
        try:
            read.append(ServerRecord.parse(raw))
        except InvalidRecord:
            continue
    ordered = sorted((record for record in read if record.name == name), key=lambda r: order_key(r.version, r.published_at), reverse=True)
    return [{"version": r.version, "status": r.status, "published": _day(r.published_at)} for r in ordered]


def _day(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).date().isoformat() if seconds else ""
    except ValueError:  # an offset led out of the years 1 to 9999
        return ""


def _verdict(outcome: Entry | Skipped, registry: PreviewedRegistry) -> VerdictDescription:
    if isinstance(outcome, Entry):
        view = outcome.view
        found: VerdictDescription = {"connector": True, "url": view.url, "transport": view.transport}
        if registry.is_named:
            found["connectorID"] = outcome.id
        return found
    return {"connector": False, "reason": str(outcome.reason), "detail": outcome.detail, "remedy": SKIP_REASONS[outcome.reason].remedy}


def _remote(kind: str, url: str, needs: Sequence[Need]) -> RemoteDescription:
    return {"type": kind, "url": url, "takes": [_need(need) for need in needs]}


def _need(need: Need) -> NeedDescription:
    value = need.input
    # The order of the fields is that of the output.
    header: HeaderField = {"header": need.header} if need.header else {}
    hints: HintFields = {}
    if value.default is not None:
        hints["default"] = value.default
    if value.choices:
        hints["choices"] = list(value.choices)
    return {"kind": need.kind, "name": need.name, **header, "required": need.by_owner, "secret": value.secret, **hints}


def _packages(raw: Any) -> list[dict[str, str]]:
    server = raw.get("server") if isinstance(raw.get("server"), dict) else raw
    packages = server.get("packages")
    known = packages[:_MOST_PACKAGES] if isinstance(packages, list) else []
    fields = ("registryType", "identifier", "version")
    return [{key: str(item[key])[:200] for key in fields if item.get(key)} for item in known if isinstance(item, dict)]


def _suggested(record: ServerRecord, registry: PreviewedRegistry) -> Suggestion:
    """Return the credentials that a server needs; `lacking` says what prevents it from being a connector even with them."""
    for kind in _TRANSPORTS:
        for remote in record.remotes:
            if remote.type != kind:
                continue
            try:
                entry = suggested_credentials(record.name, remote)
            except Unusable as unusable:
                return {"lacking": unusable.detail}
            if entry is not None:
                return {"credentials": [entry], **_lacking(replace(record, remotes=(remote,)), entry, registry)}
    return {}


def _lacking(record: ServerRecord, entry: KubernetesObjectView, registry: PreviewedRegistry) -> Suggestion:
    """Judge a record by rules that have the suggested entry."""
    spec = {**registry.spec.to_json(), "credentials": [entry]}
    try:
        rules = MappingRules.of(MCPRegistrySpec.model_validate(spec), registry.rules.registry_id, "default")
    except ValueError:
        return {"lacking": "its record asks for values that spec.credentials cannot hold"}
    outcome = map_server(record, rules)
    return {} if isinstance(outcome, Entry) else {"lacking": f"{outcome.reason}: {outcome.detail}"}
