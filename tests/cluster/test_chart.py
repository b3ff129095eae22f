"""The chart: what it renders, refuses, and leaves behind."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from junctor.api.configuration import OperatorConfiguration, parse_configuration
from junctor.api.names import API_VERSION, CONNECTOR_CRD, GATEWAY_LABEL
from junctor.cli.gateway import gateway as gateway_command
from junctor.cli.operator import operator as operator_command
from tests.cluster.api import Api, Object, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import operator
from tests.cluster.release import CHART, RELEASE, HelmFailed, deployments, helm, render_chart
from tests.cluster.resources import fresh_namespace
from tests.cluster.tools import kubernetes_version

CRD = "apiextensions.k8s.io/v1/CustomResourceDefinition"
CONNECTOR = f"{API_VERSION}/MCPConnector"
VALUES = sorted((Path(__file__).parent / "chart").glob("*.yaml"))

each_values_file = pytest.mark.parametrize("file", VALUES, ids=lambda file: file.stem)


def values_of(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def configuration_of(objects: list[Object]) -> OperatorConfiguration:
    text = next(body["data"]["operator.yaml"] for body in objects if "operator.yaml" in body.get("data", {}))
    return parse_configuration(text, "operator.yaml")


def named(objects: list[Object], kind: str, name: str) -> Object:
    return next(body for body in objects if (body["kind"], body["metadata"]["name"]) == (kind, name))


@pytest.fixture
def restricted(control_plane: ControlPlane, api: Api) -> Iterator[str]:
    """A namespace that takes only pods under the restricted standard, and the namespaces that values files name."""
    for name in ("chart-team-a", "chart-team-b"):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    with fresh_namespace(api, {"pod-security.kubernetes.io/enforce": "restricted"}) as name:
        yield name
        for kind in ("ClusterRoleBinding", "ClusterRole"):
            for body in api.list(f"rbac.authorization.k8s.io/v1/{kind}", labels="app.kubernetes.io/part-of=junctor"):
                if body["metadata"]["name"].startswith(name):
                    api.delete(f"rbac.authorization.k8s.io/v1/{kind}", body["metadata"]["name"])


@each_values_file
def test_lint_has_nothing_to_say(file: Path) -> None:
    helm("lint", CHART, "--strict", "--kube-version", kubernetes_version(), values=values_of(file))


@each_values_file
def test_the_cluster_takes_every_object_without_a_warning(file: Path, control_plane: ControlPlane, api: Api, restricted: str) -> None:
    objects = render_chart(restricted, values_of(file))

    answer = control_plane.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--validate=strict", "--filename", "-"), input=yaml.safe_dump_all(objects)
    )

    assert answer.stderr == ""
    assert len(answer.stdout.splitlines()) == len(objects)
    for deployment in deployments(objects):
        template = deployment["spec"]["template"]
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "pod"}}
        api.request("POST", f"/api/v1/namespaces/{restricted}/pods", pod, params={"dryRun": "All"})


@each_values_file
def test_the_operator_can_read_its_configuration(file: Path) -> None:
    values = values_of(file)

    configuration = configuration_of(render_chart("somewhere", values))

    wanted = values.get("gateways", [{"name": "default"}])
    assert [gateway.name for gateway in configuration.gateways] == [each["name"] for each in wanted]
    for gateway, each in zip(configuration.gateways, wanted, strict=True):
        rendered = gateway.model_dump(by_alias=True, mode="json", exclude_unset=True)
        keys = ("connectorSelector", "namespaceSelector", "defaultConnectorID", "idPolicies")
        assert {key: rendered[key] for key in keys if key in rendered} == {key: each[key] for key in keys if key in each}
        assert (gateway.namespace, gateway.management_port) == ("somewhere", 8322)


@each_values_file
def test_gateways_follow_the_maps_that_the_operator_writes(file: Path) -> None:
    objects = render_chart("somewhere", values_of(file))

    maps = {gateway.name: gateway.map for gateway in configuration_of(objects).gateways}
    for deployment in deployments(objects):
        pod = deployment["spec"]["template"]
        name = pod["metadata"]["labels"].get(GATEWAY_LABEL)
        if name is not None:
            assert f"--map=configmap:somewhere/{maps.pop(name)}" in pod["spec"]["containers"][0]["args"]
    assert maps == {}


@each_values_file
def test_the_command_line_takes_the_arguments_of_the_pods(file: Path, tmp_path: Path) -> None:
    config = tmp_path / "operator.yaml"
    config.touch()

    for deployment in deployments(render_chart("somewhere", values_of(file))):
        program, *options = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        command = {"operator": operator_command, "gateway": gateway_command}[program]
        command.make_context(program, [option.replace("/etc/junctor/operator.yaml", str(config)) for option in options])


def test_a_key_of_a_gateway_replaces_the_default_as_a_whole() -> None:
    values = {
        "gateways": [{"name": "small", "replicas": 0, "resources": {}}, {"name": "usual"}],
        "gatewayDefaults": {"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}},
    }

    objects = render_chart("somewhere", values)

    small, usual = (named(objects, "Deployment", f"junctor-gateway-{name}")["spec"] for name in ("small", "usual"))
    assert (small["replicas"], usual["replicas"]) == (0, 3)
    assert "resources" not in small["template"]["spec"]["containers"][0]
    assert usual["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "1Gi"}
    assert [body["metadata"]["name"] for body in objects if body["kind"] == "PodDisruptionBudget"] == ["junctor-gateway-usual"]


def test_only_another_configuration_makes_another_operator_pod() -> None:
    def template(values: Mapping[str, Any]) -> Any:
        return named(render_chart("somewhere", values), "Deployment", "junctor-operator")["spec"]["template"]

    usual = template({})
    assert template({"gatewayDefaults": {"replicas": 5}}) == usual
    assert template({"gateways": [{"name": "default", "defaultConnectorID": "{namespace}.{name}"}]}) != usual


def test_a_namespaced_installation_reads_nothing_of_the_cluster_but_the_crd() -> None:
    objects = render_chart("somewhere", {"operator": {"namespaces": ["team-a", "somewhere"]}})

    assert [rule for body in objects if body["kind"] == "ClusterRole" for rule in body["rules"]] == [
        {
            "apiGroups": ["apiextensions.k8s.io"],
            "resources": ["customresourcedefinitions"],
            "resourceNames": [CONNECTOR_CRD],
            "verbs": ["get"],
        }
    ]
    assert {"--namespace=team-a", "--namespace=somewhere"} <= set(
        named(objects, "Deployment", "junctor-operator")["spec"]["template"]["spec"]["containers"][0]["args"]
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gatewayDefaults": {"replicas": "two"}}, "at '/gatewayDefaults/replicas': got string, want integer"),
        ({"gateways": [{"name": "a", "replica": 2}]}, "at '/gateways/0': additional properties 'replica' not allowed"),
        ({"gateways": [{"name": "Upper"}]}, "at '/gateways/0/name': 'Upper' does not match pattern"),
        ({"gateways": []}, "at '/gateways': minItems: got 0, want 1"),
        ({"gatewayDefaults": {"callers": "everybody"}}, "at '/gatewayDefaults/callers': value must be 'none'"),
        ({"gatewayDefaults": {"callers": None}}, "at '/gatewayDefaults': missing property 'callers'"),
        ({"gateways": [{"name": "a", "connectorSelector": {"team": "a"}}]}, "additional properties 'team' not allowed"),
        ({"gateways": [{"name": "a", "defaultConnectorID": "{namespace}"}]}, "at '/gateways/0/defaultConnectorID'"),
        ({"operator": {"namespace": "a"}}, "at '/operator': additional properties 'namespace' not allowed"),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
        ({"gateways": [{"name": "a"}, {"name": "a"}]}, 'two are named "a"; give each its own name'),
        ({"gateways": [{"name": "a", "map": "m"}, {"name": "b", "map": "m"}]}, 'two share the map "m"; give each its own map'),
        (
            {"operator": {"namespaces": ["n"]}, "gateways": [{"name": "a", "namespaceSelector": {"matchLabels": {"x": "y"}}}]},
            '"a" has a namespaceSelector, which reads the labels of all namespaces, so it cannot be used with operator.namespaces',
        ),
    ],
)
def test_wrong_values_are_refused_with_a_message_that_says_where(values: Any, message: str) -> None:
    with pytest.raises(HelmFailed) as caught:
        render_chart("somewhere", values)
    assert message in str(caught.value)


def test_uninstalling_keeps_the_connectors_and_collects_the_maps(tmp_path: Path) -> None:
    """With the operator running to the end: it must not write the map anew."""
    with ControlPlane(audit=False) as cluster, cluster.api() as api, fresh_namespace(api) as namespace:
        where = ("--namespace", namespace, "--wait=false")
        notes = helm("install", RELEASE, CHART, *where, values={}, kubeconfig=cluster.kubeconfig)
        assert "WARNING: callers of the gateway default are not asked who they are" in notes
        wait_for(lambda: api.find(CRD, CONNECTOR_CRD), describe="the CRD")
        config = tmp_path / "operator.yaml"
        config.write_text(api.get("v1/ConfigMap", "junctor-operator", namespace)["data"]["operator.yaml"])
        kubeconfig = cluster.kubeconfig_for_token(cluster.service_account_token(namespace, "junctor-operator"))
        with operator(config, kubeconfig, "--health-port", "0", log_file=tmp_path / "operator.log"):
            connector = {"apiVersion": API_VERSION, "kind": "MCPConnector", "metadata": {"name": "github", "namespace": "default"}}
            wait_for(lambda: api.create({**connector, "spec": {"url": "https://mcp.example.com/mcp"}}), describe="a connector")
            wait_for(lambda: len(_maps_of(api, namespace)) == 3, describe="anchor, head and shard")

            helm("uninstall", RELEASE, *where, kubeconfig=cluster.kubeconfig)

            wait_for(lambda: _maps_of(api, namespace) == [], describe=lambda: f"no map is left: {_maps_of(api, namespace)}")

        assert api.get(CONNECTOR, "github", "default")["spec"] == {"url": "https://mcp.example.com/mcp"}
        assert api.list("v1/Secret", namespace) == []
        left = api.list("v1/ServiceAccount", namespace) + api.list("v1/ConfigMap", namespace) + api.list("apps/v1/Deployment", namespace)
        assert {body["metadata"]["name"] for body in left} == {"default", "kube-root-ca.crt"}
        helm("install", RELEASE, CHART, *where, values={}, kubeconfig=cluster.kubeconfig)


def _maps_of(api: Api, namespace: str) -> list[str]:
    return [body["metadata"]["name"] for body in api.list("v1/ConfigMap", namespace, labels="junctor.dev/connector-map")]
