"""The chart's permissions and configuration in a control plane, without its pods: processes of the tests run as its service accounts."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from junctor.api.names import GATEWAY_LABEL
from tests.cluster.api import Api, Object, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.tools import find_helm, kubernetes_version

CHART = Path(__file__).parents[2] / "charts" / "junctor"
RELEASE = "junctor"

#: The parser in C, where PyYAML has one: the CRDs are long.
_YAML_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: What an installed release has without a node. Deployments would only make pods that nothing runs.
_INSTALLED = ("ServiceAccount", "Secret", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")

#: The two choices that the chart asks for, for tests that are about something else: everybody may call, and all namespaces are served.
EVERYBODY: Mapping[str, Any] = {"gatewayDefaults": {"callers": {"mode": "none"}}, "operator": {"allNamespaces": True}}


class HelmFailed(Exception):
    """Helm ended with an error; the message is what it said."""


@dataclass(frozen=True)
class Release:
    """An installed chart. The kubeconfigs are good for an hour; `maps` and `gateway_kubeconfigs` are by the gateway's name.

    operator_config: the file for `junctor operator --config`. operator_options: further options that the chart gives the operator
    (--namespace), to pass on. objects: everything that the chart rendered, Deployments and Services too.
    """

    namespace: str
    objects: Sequence[Object] = field(repr=False)
    operator_config: Path
    operator_options: Sequence[str]
    operator_user: str
    operator_kubeconfig: Path
    gateway_users: Mapping[str, str]
    gateway_kubeconfigs: Mapping[str, Path]
    maps: Mapping[str, str]
    _control_plane: ControlPlane = field(repr=False)

    @property
    def gateway_kubeconfig(self) -> Path:
        """The kubeconfig of the first gateway."""
        return next(iter(self.gateway_kubeconfigs.values()))

    @property
    def map_source(self) -> str:
        """The first gateway's map, for `junctor gateway --map`."""
        return f"configmap:{self.namespace}/{next(iter(self.maps.values()))}"

    def uninstall(self) -> None:
        """Delete what was installed, as Helm does: permissions before the anchors of the maps."""
        with self._control_plane.api() as api:
            for body in sorted(_installed(self.objects), key=lambda body: _INSTALLED.index(body["kind"]), reverse=True):
                api.delete(f"{body['apiVersion']}/{body['kind']}", body["metadata"]["name"], body["metadata"].get("namespace"))


def install_release(control_plane: ControlPlane, namespace: str, values: Mapping[str, Any] | None = None) -> Release:
    """Install the chart with `values` into a namespace that exists: service accounts, permissions, configuration, anchors.

    Callers are not asked who they are, unless `values` have gatewayDefaults; the operator serves all namespaces, unless they have operator.
    One release for each namespace; several may live in one control plane, though all of them would look after the same connectors
    unless their gateways select or operator.namespaces keeps them apart. Returns when the permissions are in force.
    """
    objects = render_chart(namespace, {**EVERYBODY, **(values or {})}, sets=["crds.install=false"])
    configuration = _configuration(objects)
    config_file = control_plane.directory / f"operator-{namespace}.yaml"
    config_file.write_text(configuration)
    gateways = yaml.safe_load(configuration)["gateways"]
    accounts = {body["spec"]["template"]["metadata"]["labels"].get(GATEWAY_LABEL): _account(body) for body in deployments(objects)}
    operator_account = accounts.pop(None)
    with control_plane.api() as api:
        for body in _installed(objects):
            api.apply(body, manager="helm")
        _wait_for_permissions(api, objects)

    def kubeconfig(account: str) -> Path:
        return control_plane.kubeconfig_for_token(control_plane.service_account_token(namespace, account))

    return Release(
        namespace=namespace,
        objects=objects,
        operator_config=config_file,
        operator_options=[option for body in deployments(objects) for option in _arguments(body) if option.startswith("--namespace=")],
        operator_user=_user(namespace, operator_account),
        operator_kubeconfig=kubeconfig(operator_account),
        gateway_users={gateway["name"]: _user(namespace, accounts[gateway["name"]]) for gateway in gateways},
        gateway_kubeconfigs={gateway["name"]: kubeconfig(accounts[gateway["name"]]) for gateway in gateways},
        maps={gateway["name"]: gateway["map"] for gateway in gateways},
        _control_plane=control_plane,
    )


def helm(*arguments: str | Path, values: Mapping[str, Any] | None = None, kubeconfig: Path | None = None) -> str:
    """Run Helm; what it printed. values: given as a values file. Raises HelmFailed."""
    command = [str(find_helm()), *map(str, arguments)]
    if values is not None:
        command += ["--values", "-"]
    if kubeconfig is not None:
        command += ["--kubeconfig", str(kubeconfig)]
    # JSON is YAML too, and in it "y" and "n" are not booleans.
    answer = subprocess.run(command, input=json.dumps(values) if values is not None else None, text=True, capture_output=True)
    if answer.returncode:
        raise HelmFailed(f"{answer.stdout}{answer.stderr}".strip())
    return answer.stdout


def render_chart(namespace: str, values: Mapping[str, Any] | None = None, *, sets: Sequence[str] = ()) -> list[Object]:
    """The objects that `helm template` renders; Helm runs once for the same arguments. Raises HelmFailed."""
    return [body for body in yaml.load_all(_rendered(namespace, json.dumps(values or {}), tuple(sets)), _YAML_LOADER) if body]


@cache
def _rendered(namespace: str, values: str, sets: Sequence[str]) -> str:
    settings = [option for each in sets for option in ("--set", each)]
    # Helm built with `go install` believes in Kubernetes 1.20.
    version = ["--kube-version", kubernetes_version()]
    return helm("template", RELEASE, CHART, "--namespace", namespace, *version, *settings, values=json.loads(values))


def deployments(objects: Sequence[Object]) -> list[Object]:
    """The Deployments among objects."""
    return [body for body in objects if body["kind"] == "Deployment"]


def _installed(objects: Sequence[Object]) -> list[Object]:
    return [body for body in objects if body["kind"] in _INSTALLED]


def _configuration(objects: Sequence[Object]) -> str:
    return next(str(body["data"]["operator.yaml"]) for body in objects if "operator.yaml" in body.get("data", {}))


def _account(deployment: Object) -> str:
    return str(deployment["spec"]["template"]["spec"]["serviceAccountName"])


def _arguments(deployment: Object) -> list[str]:
    return list(deployment["spec"]["template"]["spec"]["containers"][0]["args"])


def _user(namespace: str, account: str) -> str:
    return f"system:serviceaccount:{namespace}:{account}"


def _wait_for_permissions(api: Api, objects: Sequence[Object]) -> None:
    """The authorizer follows with a small delay: ask it for the first rule of every binding."""
    roles = {(body["kind"], body["metadata"].get("namespace"), body["metadata"]["name"]): body for body in objects}
    for binding in objects:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace, role, [subject] = binding["metadata"].get("namespace"), binding["roleRef"], binding["subjects"]
        rule = roles[role["kind"], namespace, role["name"]]["rules"][0]
        attributes = {"group": rule["apiGroups"][0], "resource": rule["resources"][0], "verb": rule["verbs"][0]}
        attributes |= {"namespace": namespace or "", "name": rule.get("resourceNames", [""])[0]}
        user = _user(subject["namespace"], subject["name"])
        wait_for(partial(_allowed, api, user, attributes), describe=f"{binding['metadata']['name']} is in force")


def _allowed(api: Api, user: str, attributes: Mapping[str, str]) -> bool:
    spec = {"user": user, "resourceAttributes": dict(attributes)}
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    return bool(api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"])
