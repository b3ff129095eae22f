"""The files in crd/: objects that a schema refuses (with what it must say) or accepts, for the API server and for Python alike.

Those of an MCPConnector stand in crd/ itself, those of an MCPRegistry in crd/registry/.

`spec` is the object's; `before` and `after` are an object and its change; `name` is metadata.name, when it matters. `expect` is part of the
API server's message and `field` where it points; `offline` is what Python says where the words are not ours but the API server's own.
`serverSideApply` is what the API server says there when server-side apply finds the fault before the schema does.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

_CONNECTORS = Path(__file__).parent / "crd"
_DIRECTORIES = {"MCPConnector": _CONNECTORS, "MCPRegistry": _CONNECTORS / "registry"}


@dataclass(frozen=True)
class Case:
    """One file. objects: one, or the object before and after a change."""

    kind: str
    objects: tuple[dict[str, Any], ...]
    expect: str = ""
    field: str = ""
    offline: str = ""
    server_side_apply: str = ""


def refused() -> list[Any]:
    """The cases that have to be refused, as parameters named after their files."""
    return _cases("*.yaml")


def accepted() -> list[Any]:
    """The cases that have to be accepted."""
    return _cases("accepted/*.yaml")


def _cases(files: str) -> list[Any]:
    return [
        pytest.param(_read(kind, file), id=f"{kind}-{file.stem}")
        for kind, directory in _DIRECTORIES.items()
        for file in sorted(directory.glob(files))
    ]


def _read(kind: str, file: Path) -> Case:
    case = yaml.safe_load(file.read_text("utf-8"))
    parts = [case["before"], case["after"]] if "after" in case else [{"spec": case["spec"]}]
    return Case(
        kind=kind,
        objects=tuple(
            {
                "apiVersion": "junctor.dev/v1alpha1",
                "kind": kind,
                "metadata": {"name": case.get("name", "github")},
                **part,
            }
            for part in parts
        ),
        expect=case.get("expect", ""),
        field=case.get("field", ""),
        offline=case.get("offline") or case.get("expect", ""),
        server_side_apply=case.get("serverSideApply", ""),
    )
