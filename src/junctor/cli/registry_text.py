"""One server of a registry, as `junctor registries show` prints it."""

from collections.abc import Iterator, Sequence
from typing import Any

from junctor.api.names import CREDENTIALS_LABEL
from junctor.cli.output import table
from junctor.registry.preview.description import NeedDescription, ServerDescription


def server_text(found: ServerDescription) -> Iterator[str]:
    """Yield the lines that describe a server."""
    yield f"{found['name']} {found['version']}"
    for text in (found.get("title"), found.get("description")):
        if text:
            yield f"  {text}"
    yield ""
    if found["connector"]:
        yield f"Becomes a connector: yes, {found['transport']} at {found['url']}"
        if "connectorID" in found:
            yield f"Connector id: {found['connectorID']}"
    else:
        detail = f": {found['detail']}" if found["detail"] else ""
        yield f"Becomes a connector: no, {found['reason']}{detail}"
        yield f"What to do: {found['remedy']}"
    yield from _section("Versions", [(item["version"], item["status"], item["published"]) for item in found["versions"]])
    if found.get("remotes"):
        yield from ("", "Remotes:")
        for remote in found["remotes"]:
            yield f"  {remote['type']} {remote['url']}"
            yield from (f"    {_need_text(item)}" for item in remote["takes"])
    packages = [tuple(item.get(key, "") for key in ("registryType", "identifier", "version")) for item in found.get("packages", ())]
    yield from _section("Packages, not runnable remotely (Junctor never runs packages)", packages)
    if "credentials" in found:
        yield from _block(found["credentials"])
    if "lacking" in found:
        yield f"It cannot become a connector by credentials alone: {found['lacking']}"


def _section(title: str, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if rows:
        yield from ("", f"{title}:")
        yield from (f"  {line}" for line in table(rows))


def _need_text(item: NeedDescription) -> str:
    where = f" of header {item['header']}" if "header" in item else ""
    facts = ["required" if item["required"] else "optional"]
    facts += ["secret"] if item["secret"] else []
    facts += [f"default {item['default']}"] if "default" in item else []
    facts += [f"one of {', '.join(item['choices'])}"] if "choices" in item else []
    return f"{item['kind']} {item['name']}{where}: {', '.join(facts)}"


def _block(credentials: Sequence[Any]) -> Iterator[str]:
    """Yield the spec.credentials to paste into a manifest."""
    import yaml

    yield from ("", "What it needs, for the manifest of the MCPRegistry:", "")
    text = yaml.safe_dump({"spec": {"credentials": credentials}}, sort_keys=False, width=2**31 - 1)
    yield from text.splitlines()
    secrets = sorted(set(_secrets(credentials)))
    if secrets:
        yield ""
        yield f'With its Secret beside it, labelled {CREDENTIALS_LABEL}: "true": ' + ", ".join(secrets)


def _secrets(value: Any) -> Iterator[str]:
    """Yield Secret and key of each reference."""
    if isinstance(value, list):
        for item in value:
            yield from _secrets(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "secretKeyRef":
                yield f"{item['name']}, key {item['key']}"
            else:
                yield from _secrets(item)
