"""Generates files from the models of `junctor.api`: `python -m tools.generate [--check]` (`make crds`).

These are the CRDs, the chart's copy of them, a reference page for each kind and docs/conditions.md. With --check nothing is written;
outdated files are named, and the exit code is 1.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from junctor.api import names
from junctor.api.crd import crd_of
from junctor.api.kinds import KINDS
from junctor.api.reasons import CONDITION_MEANING, REASONS, SKIP_REASONS, Explanation, reasons_of

_NOTICE: Final = "Generated from src/junctor/api by `make crds`; do not edit."


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
    """The CRDs as a template of the chart: installed only with `crds.install`, kept on uninstall with `crds.keep`."""
    documents = "---\n".join(_helm_document(crd) for crd in crds)
    return "{{- /* " + _NOTICE + " */ -}}\n{{- if .Values.crds.install }}\n" + documents + "{{- end }}\n"


def _helm_document(crd: Mapping[str, Any]) -> str:
    text = _as_yaml(crd).replace("{{", "\0").replace("}}", '{{ "}}" }}').replace("\0", '{{ "{{" }}')
    keep = '  {{- if .Values.crds.keep }}\n  annotations:\n    "helm.sh/resource-policy": keep\n  {{- end }}\n'
    name = f"  name: {crd['metadata']['name']}\n"
    head, found, tail = text.partition(name)
    if not found:
        raise AssertionError("the name of the CRD was not found; the template cannot add an annotation below it")
    return head + name + keep + tail


def conditions_page() -> str:
    """docs/conditions.md."""
    lines = [
        f"<!-- {_NOTICE} -->",
        "# Conditions",
        "",
        "`status.conditions` of a resource says what the operator observed. Each condition has the `observedGeneration` that it describes",
        "and a human-readable message. If several gateways select a resource, each of them has findings, and the worst one is shown.",
        "Until the operator has processed a resource, the API server shows every condition as `Unknown` with the reason `Pending`.",
    ]
    for kind, meaning in CONDITION_MEANING.items():
        lines += ["", f"## {kind}", "", _plain(meaning), "", *_reasons({reason: REASONS[reason] for reason in reasons_of(kind)})]
    lines += [
        "",
        "## Skipped servers",
        "",
        "`status.skipped` of an MCPRegistry counts the servers that did not become connectors, by reason, with some examples.",
        "",
        *_reasons(SKIP_REASONS),
    ]
    return "\n".join(lines) + "\n"


def _reasons(reasons: Mapping[Any, Explanation]) -> list[str]:
    rows = [f"| `{reason}` | {_plain(doc.meaning)} | {_plain(doc.remedy) or 'Nothing.'} |" for reason, doc in reasons.items()]
    return ["| reason | meaning | what to do |", "|---|---|---|", *rows]


def reference_page(crd: Mapping[str, Any]) -> str:
    """The page of one kind in docs/reference/."""
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
    lines += ["", "## Validation rules", "", "`kubectl apply` rejects an object that breaks one of these rules, with this message:", ""]
    lines += ["| field | message |", "|---|---|"]
    for path, node in _objects("", schema):
        for rule in node.get("x-kubernetes-validations", ()):
            lines.append(f"| `{(path + rule.get('fieldPath', '')).lstrip('.')}` | {_plain(rule['message'])} |")
    lines += ["", "## Columns of `kubectl get`", "", "| column | from |", "|---|---|"]
    for column in version["additionalPrinterColumns"]:
        wide = " (with `-o wide`)" if column.get("priority") else ""
        lines.append(f"| {column['name']}{wide} | `{column['jsonPath']}` |")
    return "\n".join(lines) + "\n"


def _objects(path: str, node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield every object with fields in a schema, depth first: `spec`, `spec.headers[]`, `spec.headers[].valueFrom`."""
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
    """The type of a field with its bounds, in words."""
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
    """Escape everything that Markdown would interpret."""
    return "".join(f"\\{char}" if char in "\\`*_|<~" else char for char in text)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _as_yaml(body: Mapping[str, Any]) -> str:
    return yaml.dump(body, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: Sequence[str] | None = None, root: Path = Path(__file__).parents[1]) -> int:
    """Write or check the files below `root`. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.generate", description="Generate the CRDs and their documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is outdated")
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
