"""Reads manifests from text and checks them as `kubectl apply` would, for `validate`, `render` and the standalone server."""

import base64
import binascii
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from junctor.api import names
from junctor.api.crd import schema_of
from junctor.api.kinds import BY_NAME, ResourceKind
from junctor.net.faults import Fault, faults_of, path_text
from junctor.net.formats import JSONSchema, JSONSchemaView, KubernetesObject, KubernetesObjectView
from junctor.offline.problems import Problem
from junctor.offline.yaml_documents import Document, Path, YamlFault, documents

_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_SECRET_KEY: Final = re.compile(r"[-._a-zA-Z0-9]+")

_TOP_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(BY_NAME, ("apiVersion", "kind", "metadata", "spec", "status")),
    "Secret": ("apiVersion", "kind", "metadata", "type", "data", "stringData", "immutable"),
    "Namespace": ("apiVersion", "kind", "metadata", "spec", "status"),
}
#: What a note says about a file whose documents are no manifests.
NO_MANIFEST: Final = "passed over, because no document in it has an apiVersion or a kind"
#: Fields of an object's metadata. Those that the API server sets are accepted, so that the output of `kubectl get -o yaml` is a manifest.
_METADATA_FIELDS: Final = (
    "name", "namespace", "labels", "annotations", "generateName", "uid", "resourceVersion", "generation", "creationTimestamp",
    "deletionTimestamp", "deletionGracePeriodSeconds", "ownerReferences", "finalizers", "managedFields", "selfLink",
)  # fmt: skip


class ObjectKey(NamedTuple):
    """What identifies an object. namespace: "" for kinds without one."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Manifest:
    """One valid object. body: as the API server would store it, with a namespace and with a Secret's stringData moved to data."""

    file: str
    line: int
    body: KubernetesObject = field(repr=False)

    @property
    def key(self) -> ObjectKey:
        """What identifies the object."""
        kind, metadata = self.body["kind"], self.body["metadata"]
        return ObjectKey(kind, "" if kind == "Namespace" else metadata["namespace"], metadata["name"])


class ParsedText(NamedTuple):
    """What a text holds. is_manifest_file: False when it has documents and none of them has an apiVersion or a kind."""

    manifests: list[Manifest]
    problems: list[Problem]
    is_manifest_file: bool


def parse_manifests(text: str, file: str) -> ParsedText:
    """Read the valid objects of a YAML or JSON text in their order, and what is wrong with the others.

    Known kinds are MCPConnector, MCPRegistry, Secret and Namespace, also within `kind: List`; objects of other API groups are ignored.
    Never raises for the content of the text. file: how messages name the text.
    """
    manifests: list[Manifest] = []
    problems: list[Problem] = []
    typed: list[bool] = []
    for document in documents(text):
        if isinstance(document, YamlFault):
            problems.append(Problem(file, str(document), document.position.line, document.position.column))
            typed.append(True)  # it may be a manifest
            continue
        typed.append(isinstance(document.value, dict) and not {"apiVersion", "kind"}.isdisjoint(document.value))
        for key, position in document.duplicates:
            problems.append(Problem(file, f"{key}: duplicate field; remove one", position.line, position.column))
        for path, body in _objects(document.value, ()):
            faults = [] if document.duplicates else list(_faults(body))
            problems += (_problem(fault, body, path, document, file) for fault in faults)
            if not faults and not document.duplicates and _is_known(body):
                manifests.append(Manifest(file, document.position(path).line, _as_stored(body)))
    return ParsedText(manifests, problems, not typed or any(typed))


def _objects(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield the objects of a document: itself, or the items of a List."""
    if isinstance(value, dict) and value.get("kind") == "List" and value.get("apiVersion") == "v1":
        items = value.get("items")
        for index, item in enumerate(items if isinstance(items, list) else ()):
            yield from _objects(item, (*path, "items", index))
    else:
        yield path, value


def _problem(fault: Fault, body: Any, path: Path, document: Document, file: str) -> Problem:
    position = document.position((*path, *fault.path))
    text = str(fault) if fault.path else fault.message
    metadata = body.get("metadata") if isinstance(body, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    named = f"{body['kind']} {name}: " if isinstance(name, str) and isinstance(body.get("kind"), str) else ""
    return Problem(file, named + text, position.line, position.column)


def _is_known(body: KubernetesObjectView) -> bool:
    return body["apiVersion"] == (names.API_VERSION if body["kind"] in BY_NAME else "v1") and body["kind"] in _TOP_FIELDS


def _faults(body: Any) -> Iterator[Fault]:
    if not isinstance(body, dict):
        yield Fault((), "a manifest is an object with apiVersion, kind and metadata")
        return
    untyped = [key for key in ("apiVersion", "kind") if not isinstance(body.get(key), str)]
    if untyped:
        yield from (Fault((key,), "is required, as a string") for key in untyped)
        return
    group, kind = body["apiVersion"].rpartition("/")[0], body["kind"]
    if _is_known(body):
        yield from _unknown(body, _TOP_FIELDS[kind], ())
        yield from _metadata_faults(body)
        if kind in BY_NAME:
            yield from _resource_faults(BY_NAME[kind], body)
        elif kind == "Secret":
            yield from _secret_faults(body)
    elif kind in BY_NAME:
        yield Fault(("apiVersion",), f"{kind} is known as {names.API_VERSION}")
    elif group == names.GROUP:
        yield Fault(("kind",), f"this version of Junctor knows {' and '.join(BY_NAME)} ({names.API_VERSION}), not this kind")


def _metadata_faults(body: KubernetesObjectView) -> Iterator[Fault]:
    metadata = body.get("metadata")
    if not isinstance(metadata, dict):
        yield Fault(("metadata",), "is required, with a name")
        return
    yield from _unknown(metadata, _METADATA_FIELDS, ("metadata",))
    name = metadata.get("name")
    if name is None:
        yield Fault(("metadata", "name"), "is required")
    elif body["kind"] == "Namespace":
        yield from _label_fault(name, "name")
    elif not isinstance(name, str) or len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield Fault(("metadata", "name"), "must be lower-case letters, digits, '-' and '.', at most 253 of them; for example github")
    if metadata.get("namespace") is not None:
        yield from _label_fault(metadata["namespace"], "namespace")
    for key in ("labels", "annotations"):
        entries = metadata.get(key)
        if entries is not None and not isinstance(entries, dict):
            yield Fault(("metadata", key), "must be an object of strings")
        for entry, value in entries.items() if isinstance(entries, dict) else ():
            if not isinstance(value, str):
                yield Fault(("metadata", key, entry), "must be a string; put quotes around it")


def _label_fault(value: Any, key: str) -> Iterator[Fault]:
    if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
        yield Fault(("metadata", key), "must be lower-case letters, digits and '-', at most 63 of them; for example team-a")


def _resource_faults(kind: ResourceKind, body: KubernetesObjectView) -> Iterator[Fault]:
    spec = body.get("spec")
    if not isinstance(spec, dict):
        yield Fault(("spec",), "is required, as an object with fields")
        return
    yield from _unknown_in(_spec_schema(kind), spec, ("spec",))
    try:
        kind.spec.model_validate(spec)
    except ValidationError as error:
        yield from faults_of(error, "spec")
    if isinstance(body.get("metadata"), dict) and isinstance(body["metadata"].get("name"), str):
        for rule in kind.rules:
            if rule.check is not None and not rule.check(body):
                yield Fault(tuple((rule.field or "").split(".")), rule.message)


@cache
def _spec_schema(kind: ResourceKind) -> JSONSchema:
    schema: JSONSchema = schema_of(kind)["properties"]["spec"]
    return schema


def _unknown_in(schema: JSONSchemaView, value: Any, path: Path) -> Iterator[Fault]:
    """Yield a fault for each field, at any depth, that the schema does not have."""
    if "properties" in schema and isinstance(value, dict):
        yield from _unknown(value, schema["properties"], path)
        for name, child in schema["properties"].items():
            yield from _unknown_in(child, value.get(name), (*path, name))
    elif "items" in schema and isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown_in(schema["items"], item, (*path, index))


def _unknown(value: KubernetesObjectView, known: Iterable[str], path: Path) -> Iterator[Fault]:
    known = list(known)
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            yield Fault((*path, name), f"unknown field; {hint}{path_text(path) or 'the object'} has {', '.join(known)}")


def _secret_faults(body: KubernetesObjectView) -> Iterator[Fault]:
    for part in ("data", "stringData"):
        entries = body.get(part)
        if entries is not None and not isinstance(entries, dict):
            yield Fault((part,), "must be an object of strings")
        for key, value in entries.items() if isinstance(entries, dict) else ():
            if len(key) > 253 or not _SECRET_KEY.fullmatch(key):
                yield Fault((part, key), "a key may hold letters, digits, '-', '_' and '.' only")
            if value is None:
                continue
            if not isinstance(value, str):
                yield Fault((part, key), "must be a string; put quotes around it")
            elif part == "data" and not _is_base64(value):
                yield Fault((part, key), "must be base64; write plain text into stringData instead")


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _as_stored(body: KubernetesObjectView) -> KubernetesObject:
    stored = dict(body)
    if body["kind"] != "Namespace":
        stored["metadata"] = {**body["metadata"], "namespace": body["metadata"].get("namespace") or "default"}
    if body["kind"] == "Secret":
        data = {key: "".join((value or "").split()) for key, value in (body.get("data") or {}).items()}
        plain = {key: base64.b64encode((value or "").encode()).decode() for key, value in (body.get("stringData") or {}).items()}
        stored["data"] = data | plain
        stored.pop("stringData", None)
    return stored
