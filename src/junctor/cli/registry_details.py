"""One server of a registry, as `junctor registries show` describes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from junctor.api.conditions import SkipReason
from junctor.api.names import CREDENTIALS_LABEL
from junctor.api.reasons import SKIP_REASONS
from junctor.api.registry import MCPRegistrySpec
from junctor.cli.output import table
from junctor.cli.registry_credentials import Need, credentials_for, needs_of
from junctor.cli.registry_source import Source
from junctor.cli.terminal import printable
from junctor.connectormap.entry import Entry
from junctor.registry.client import RegistryClient
from junctor.registry.errors import NotARegistry
from junctor.registry.mapping import Skipped, map_server
from junctor.registry.records import InvalidRecord, ServerRecord
from junctor.registry.rules import MappingRules
from junctor.registry.scan import RegistryScan
from junctor.registry.templates import Unusable
from junctor.registry.versions import order_key

_TRANSPORTS = ("streamable-http", "sse")
_MOST_PACKAGES = 32


class Records(NamedTuple):
    """What a registry says of a server. versions: a record of each. current: of the one that it calls the latest, if any."""

    versions: Sequence[Any]
    current: Any


async def read_records(client: RegistryClient, name: str, version: str | None) -> Records:
    """The records of a server; a version that is only told when asked for is among them, such as a deleted one. Raises RegistryError."""
    try:
        known = list(await client.versions(name))
        if version is not None and version not in map(_version, known):
            one = await client.server(name, version)
            known += [] if one is None else [one]
        return Records(known, await client.server(name))
    except NotARegistry:
        # Some registries have lists only; what is none at all fails here as well.
        page = await client.page(search=name, latest=False)
        return Records(page.records, None)


def details_of(records: Records, name: str, version: str | None, source: Source) -> dict[str, Any]:
    """All that is to say, as JSON values. version: as asked for. Raises ClickException when there is no such server or version."""
    known = records.versions
    scan = RegistryScan(source.rules, {})
    # The operator asks for the latest versions, and takes the newest where the registry cannot tell.
    scan.add_page(known if _version(records.current) is None else [records.current], None)
    if name not in scan.servers:
        raise click.ClickException(f"{source.spec.url} has no server {name}; names differ by case, junctor registries search finds them")
    chosen = version or scan.servers[name].version
    found: dict[str, Any] = {"name": name, "version": chosen, "versions": _versions(known, name)}
    raw = next((raw for raw in (*known, records.current) if _version(raw) == chosen), None)
    if version is not None and raw is None:
        listed = ", ".join(printable(item["version"]) for item in found["versions"][:10])
        raise click.ClickException(f"{name} has no version {version}; it has {listed}")
    if raw is None:  # no record of it can be read
        return found | _verdict(scan.servers[name].outcome, source)
    record = ServerRecord.parse(raw)
    outcome = map_server(record, source.rules)
    found |= {"status": record.status, "title": record.title, "description": record.description, **_verdict(outcome, source)}
    found["remotes"] = [_remote(remote.type, remote.url, list(needs_of(remote))) for remote in record.remotes]
    found["packages"] = _packages(raw)
    if isinstance(outcome, Skipped) and outcome.reason is SkipReason.CONFIGURATION_REQUIRED:
        found |= _suggested(record, source)
    return found


def _version(raw: Any) -> str | None:
    try:
        return ServerRecord.parse(raw).version
    except InvalidRecord:
        return None


def _versions(records: Sequence[Any], name: str) -> list[dict[str, Any]]:
    """The newest first."""
    read = []
    for raw in records:
        try:
            read.append(ServerRecord.parse(raw))
        except InvalidRecord:
            continue
    ordered = sorted((record for record in read if record.name == name), key=lambda r: order_key(r.version, r.published_at), reverse=True)
    return [{"version": r.version, "status": r.status, "published": _day(r.published_at)} for r in ordered]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat() if seconds else ""


def _verdict(outcome: Entry | Skipped, source: Source) -> dict[str, Any]:
    if isinstance(outcome, Entry):
        view = outcome.view
        found = {"connector": True, "url": view.url, "transport": view.transport}
        return found | ({"connectorID": outcome.id} if source.named else {})
    return {"connector": False, "reason": str(outcome.reason), "detail": outcome.detail, "remedy": SKIP_REASONS[outcome.reason].remedy}


def _remote(kind: str, url: str, needs: Sequence[Need]) -> dict[str, Any]:
    return {"type": kind, "url": url, "takes": [_need(need) for need in needs]}


def _need(need: Need) -> dict[str, Any]:
    wanted = need.input
    item: dict[str, Any] = {"kind": need.kind, "name": need.name} | ({"header": need.header} if need.header else {})
    item |= {"required": need.by_owner, "secret": wanted.secret}
    return (
        item
        | ({"default": wanted.default} if wanted.default is not None else {})
        | ({"choices": list(wanted.choices)} if wanted.choices else {})
    )


def _packages(raw: Any) -> list[dict[str, str]]:
    server = raw.get("server") if isinstance(raw.get("server"), dict) else raw
    packages = server.get("packages")
    known = packages[:_MOST_PACKAGES] if isinstance(packages, list) else []
    fields = ("registryType", "identifier", "version")
    return [{key: str(item[key])[:200] for key in fields if item.get(key)} for item in known if isinstance(item, dict)]


def _suggested(record: ServerRecord, source: Source) -> dict[str, Any]:
    """The credentials that it needs; `lacking` says what is in its way even then."""
    for kind in _TRANSPORTS:
        for remote in record.remotes:
            if remote.type != kind:
                continue
            try:
                entry = credentials_for(record.name, remote)
            except Unusable as unusable:
                return {"lacking": unusable.detail}
            if entry is not None:
                return {"credentials": [entry], **_lacking(replace(record, remotes=(remote,)), entry, source)}
    return {}


def _lacking(record: ServerRecord, entry: Mapping[str, Any], source: Source) -> dict[str, str]:
    """Try the entry."""
    spec = {**source.spec.to_json(), "credentials": [entry]}
    try:
        rules = MappingRules.of(MCPRegistrySpec.model_validate(spec), source.rules.registry_id, "default")
    except ValueError:
        return {"lacking": "its record asks for values that spec.credentials cannot hold"}
    outcome = map_server(record, rules)
    return {} if isinstance(outcome, Entry) else {"lacking": f"{outcome.reason}: {outcome.detail}"}


def report(found: Mapping[str, Any]) -> Iterator[str]:
    """The lines to print."""
    yield printable(f"{found['name']} {found['version']}")
    for key in ("title", "description"):
        if found.get(key):
            yield f"  {printable(found[key])}"
    yield ""
    if found["connector"]:
        yield printable(f"Becomes a connector: yes, {found['transport']} at {found['url']}")
        if "connectorID" in found:
            yield f"Connector id: {found['connectorID']}"
    else:
        detail = f": {found['detail']}" if found["detail"] else ""
        yield printable(f"Becomes a connector: no, {found['reason']}{detail}")
        yield f"What to do: {found['remedy']}"
    yield from _section("Versions", [(item["version"], item["status"], item["published"]) for item in found["versions"]])
    if found.get("remotes"):
        yield from ("", "Remotes:")
        for remote in found["remotes"]:
            yield printable(f"  {remote['type']} {remote['url']}")
            yield from (f"    {printable(_taken(item))}" for item in remote["takes"])
    packages = [tuple(item.get(key, "") for key in ("registryType", "identifier", "version")) for item in found.get("packages", ())]
    yield from _section("Packages, not runnable remotely (Junctor never runs packages)", packages)
    if "credentials" in found:
        yield from _block(found["credentials"])
    if "lacking" in found:
        yield printable(f"It cannot become a connector by credentials alone: {found['lacking']}")


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from ("", f"{title}:")
        yield from (f"  {line}" for line in table([[printable(cell) for cell in row] for row in rows]))


def _taken(item: Mapping[str, Any]) -> str:
    where = f" of header {item['header']}" if "header" in item else ""
    said = ["required" if item["required"] else "optional"]
    said += ["secret"] if item["secret"] else []
    said += [f"default {item['default']}"] if "default" in item else []
    said += [f"one of {', '.join(item['choices'])}"] if "choices" in item else []
    return f"{item['kind']} {item['name']}{where}: {', '.join(said)}"


def _block(credentials: Sequence[Any]) -> Iterator[str]:
    """The spec.credentials to paste."""
    import yaml

    yield from ("", "What it needs, for the manifest of the MCPRegistry:", "")
    text = yaml.safe_dump({"spec": {"credentials": credentials}}, sort_keys=False, width=2**31 - 1)
    yield from text.splitlines()
    secrets = sorted(set(_secrets(credentials)))
    if secrets:
        yield ""
        yield f'With its Secret beside it, labelled {CREDENTIALS_LABEL}: "true": ' + ", ".join(secrets)


def _secrets(value: Any) -> Iterator[str]:
    """Secret and key of each reference."""
    if isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "secretKeyRef":
                yield f"{item['name']}, key {item['key']}"
            else:
                yield from _secrets(item)
