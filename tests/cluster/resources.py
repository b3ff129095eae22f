"""What tests put into a control plane first: Junctor's resource definitions, a namespace."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import yaml

from tests.cluster.api import Api, wait_for

_CRDS = Path(__file__).parents[2] / "crds"
_CRD = "apiextensions.k8s.io/v1/CustomResourceDefinition"


def install_crds(api: Api, directory: Path = _CRDS) -> list[str]:
    """Apply the definitions in `directory` and wait until they are established; their names."""
    bodies = [body for file in sorted(directory.glob("*.yaml")) for body in yaml.safe_load_all(file.read_text()) if body]
    names = [api.apply(body)["metadata"]["name"] for body in bodies]
    for name in names:
        wait_for(partial(_established, api, name), describe=f"{name} is established")
    return names


@contextmanager
def fresh_namespace(api: Api, labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """A namespace with a name of its own; on leaving its deletion begins."""
    name = f"test-{secrets.token_hex(4)}"
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels or {})}})
    wait_for(lambda: api.find("v1/ServiceAccount", "default", name), describe=f"the default service account of {name}")
    try:
        yield name
    finally:
        api.delete("v1/Namespace", name)


def _established(api: Api, name: str) -> bool:
    conditions = api.get(_CRD, name).get("status", {}).get("conditions") or []
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)
