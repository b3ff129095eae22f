"""Writes what follows from the models: `python -m tools.generate [--check]` (`make crds`).

The CRDs, the chart's copy of them, a page of reference for each and the list of conditions. With --check nothing is written; files that
are not what the models say are named, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from junctor.api import names
from junctor.api.conditions import CONDITION_MEANING, REASONS, SKIP_REASONS, ConditionType, Reason
from junctor.api.crd import crd_of
from junctor.api.kinds import KINDS

_NOTICE: Final = "Generated from src/junctor/api by `make crds`; do not edit."

_REFUSALS: Final = (
    Reason.INVALID, Reason.INVALID_CA_BUNDLE, Reason.INVALID_ID, Reason.ID_CONFLICT, Reason.ID_NOT_PERMITTED, Reason.ID_IMMUTABLE,
    Reason.UNSUPPORTED_FIELD, Reason.TOO_LARGE, Reason.CREDENTIALS_TOO_LARGE,
)  # fmt: skip

#: The reasons that each condition carries, in the order in which a reader meets them.
CARRIED_BY: Final[dict[ConditionType, tuple[Reason, ...]]] = {
    ConditionType.ACCEPTED: (Reason.PENDING, Reason.ACCEPTED, Reason.NO_MATCHING_GATEWAY, *_REFUSALS),
    ConditionType.RESOLVED_REFS: (
        Reason.PENDING, Reason.RESOLVED_REFS, Reason.SECRET_NOT_FOUND, Reason.SECRET_KEY_NOT_FOUND, Reason.SECRET_VALUE_INVALID,
        Reason.DISABLED, Reason.NOT_ACCEPTED,
    ),
    ConditionType.SYNCED: (
        Reason.PENDING, Reason.SYNCING, Reason.SYNCED, Reason.CONNECTOR_LIMIT_REACHED, Reason.PARTIAL_SYNC, Reason.SUSPICIOUS_SHRINK,
        Reason.NOT_A_REGISTRY, Reason.REGISTRY_UNREACHABLE, Reason.REGISTRY_UNAUTHORIZED, Reason.REGISTRY_TLS_FAILED,
        Reason.REGISTRY_RATE_LIMITED, Reason.REGISTRY_ERROR, Reason.SYNC_TIMEOUT, Reason.UNRESOLVED_REFS, Reason.DISABLED,
        Reason.NOT_ACCEPTED,
    ),
    ConditionType.PROGRAMMED: (
        Reason.PENDING, Reason.PROGRAMMED, Reason.PUBLISHING, Reason.PUBLISH_FAILED, Reason.MAP_OF_ANOTHER_INSTALLATION,
        Reason.DISABLED, Reason.NOT_ACCEPTED,
    ),
    ConditionType.READY: (
        Reason.PENDING, Reason.READY, Reason.AWAITING_GATEWAYS, Reason.NO_GATEWAY_PODS, Reason.GATEWAY_UNREACHABLE,
        Reason.GATEWAY_REJECTED, Reason.UNRESOLVED_REFS, Reason.DISABLED, Reason.NOT_PROGRAMMED, Reason.NOT_ACCEPTED,
    ),
    ConditionType.STALLED: tuple(
        reason for reason in _REFUSALS if reason not in (Reason.ID_CONFLICT, Reason.CREDENTIALS_TOO_LARGE)
    ),
}  # fmt: skip


def generated_files() -> dict[str, str]:
    """Every generated file: path from the root of the repository, content."""
    crds = [crd_of(kind) for kind in KINDS]
    return {
        **{f"crds/{crd['metadata']['name']}.yaml": f"# {_NOTICE}\n{_as_yaml(crd)}" for crd in crds},
        "charts/junctor/templates/crds.yaml": helm_template(crds),
        **{f"docs/reference/{crd['spec']['names']['singular']}.md": reference_page(crd) for crd in crds},
        "docs/conditions.md": conditions_page(),
    }


def helm_template(crds: Iterable[Mapping[str, Any]]) -> str:
    """The CRDs as a template of the chart: left out without `crds.install`, left behind on uninstalling with `crds.keep`."""
    documents = "---\n".join(_helm_document(crd) for crd in crds)
    return "{{- /* " + _NOTICE + " */ -}}\n{{- if .Values.crds.install }}\n" + documents + "{{- end }}\n"


def _helm_document(crd: Mapping[str, Any]) -> str:
    text = _as_yaml(crd).replace("{{", "\0").replace("}}", '{{ "}}" }}').replace("\0", '{{ "{{" }}')
    keep = '  {{- if .Values.crds.keep }}\n  annotations:\n    "helm.sh/resource-policy": keep\n  {{- end }}\n'
    name = f"  name: {crd['metadata']['name']}\n"
    head, found, tail = text.partition(name)
    if not found:
        raise AssertionError("the CRD's metadata is not where the template needs it")
    return head + name + keep + tail


def conditions_page() -> str:
    """docs/conditions.md."""
    lines = [
        f"<!-- {_NOTICE} -->",
        "# Conditions",
        "",
        "`status.conditions` of a resource says what is true of it. Each condition has the `observedGeneration` that it speaks about and",
        "a message for people; a resource that several gateways select is judged by all of them, and the worst verdict is shown.",
        "Until the operator has looked, the API server itself shows every condition as `Unknown` with the reason `Pending`.",
    ]
    for kind, meaning in CONDITION_MEANING.items():
        lines += ["", f"## {kind}", "", _plain(meaning), "", *_reasons({reason: REASONS[reason] for reason in CARRIED_BY[kind]})]
    lines += [
        "",
        "## Skipped servers",
        "",
        "`status.skipped` of an MCPRegistry counts the servers that did not become connectors, by these reasons, with some examples.",
        "",
        *_reasons(SKIP_REASONS),
    ]
    return "\n".join(lines) + "\n"


def _reasons(reasons: Mapping[Any, tuple[str, str]]) -> list[str]:
    rows = [f"| `{reason}` | {_plain(what)} | {_plain(remedy) or 'Nothing.'} |" for reason, (what, remedy) in reasons.items()]
    return ["| reason | meaning | what to do |", "|---|---|---|", *rows]


def reference_page(crd: Mapping[str, Any]) -> str:
    """The page about a kind in docs/reference/."""
    version = crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    selectors = ", ".join(f"`{field['jsonPath'][1:]}`" for field in version["selectableFields"])
    lines = [
        f"<!-- {_NOTICE} -->",
        f"# {crd['spec']['names']['kind']}",
        "",
        schema["description"],
        "",
        f"`apiVersion: {names.API_VERSION}`, namespaced. With kubectl: `{crd['spec']['names']['plural']}`, "
        f"`{crd['spec']['names']['shortNames'][0]}`, or the category `{names.CATEGORY}`. "
        f"Field selectors: {selectors}.",
        "",
        "The API server writes no defaults: the description of each field says what it means if the field is absent.",
    ]
    for path, node in _objects("", schema):
        if path:
            lines += _object_section(path, node)
    lines += ["", "## What is refused", "", "`kubectl apply` refuses an object that breaks one of these rules, and says:", ""]
    lines += ["| at | message |", "|---|---|"]
    for path, node in _objects("", schema):
        for rule in node.get("x-kubernetes-validations", ()):
            lines.append(f"| `{(path + rule.get('fieldPath', '')).lstrip('.')}` | {_plain(rule['message'])} |")
    lines += ["", "## Columns of `kubectl get`", "", "| column | from |", "|---|---|"]
    for column in version["additionalPrinterColumns"]:
        wide = " (with `-o wide`)" if column.get("priority") else ""
        lines.append(f"| {column['name']}{wide} | `{column['jsonPath']}` |")
    return "\n".join(lines) + "\n"


def _objects(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object with fields in a schema, depth first: `spec`, `spec.headers[]`, `spec.headers[].valueFrom`."""
    if "properties" in node:
        yield path, node
        for name, child in node["properties"].items():
            yield from _objects(f"{path}.{name}".lstrip("."), child)
    elif "items" in node:
        yield from _objects(f"{path}[]", node["items"])


def _object_section(path: str, node: Mapping[str, Any]) -> list[str]:
    level = "##" if "." not in path else "###"
    lines = ["", f"{level} {path}", "", _cell(node["description"]), "", "| field | type | description |", "|---|---|---|"]
    for name, field in node["properties"].items():
        needed = ", required" if name in node.get("required", ()) else ""
        lines.append(f"| `{name}` | {_type(field)}{needed} | {_cell(field['description'])} |")
    return lines


def _type(field: Mapping[str, Any]) -> str:
    """The type of a field with its bounds, for people."""
    match field["type"]:
        case "array":
            return f"list, at most {field['maxItems']}, of {_type(field['items'])}"
        case "string" if "enum" in field:
            return "one of " + ", ".join(f"`{value}`" for value in field["enum"])
        case "string" if "format" in field:
            return f"string ({field['format']})"
        case "string":
            least = f"{field['minLength']} to " if "minLength" in field else "at most "
            return f"string, {least}{field['maxLength']} characters"
        case "integer" if "maximum" in field:
            return f"integer, {field['minimum']} to {field['maximum']}"
        case other:
            return str(other)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _plain(text: str) -> str:
    """Text in which nothing is Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_|<~" else char for char in text)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_yaml(body: Mapping[str, Any]) -> str:
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None, root: Path = Path(__file__).parents[1]) -> int:
    """Write or check the files below `root`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description="Generate the CRD and what is written about it.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not what the models say")
    check = parser.parse_args(arguments).check
    drifted = [name for name, text in generated_files().items() if not (root / name).exists() or (root / name).read_text("utf-8") != text]
    if check:
        if drifted:
            sys.stderr.write(f"not what the models say: {', '.join(drifted)}; run `make crds`\n")
        return 1 if drifted else 0
    for name in drifted:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(generated_files()[name], encoding="utf-8")
        sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
