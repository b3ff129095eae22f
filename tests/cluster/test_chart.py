"""The chart: what it renders, refuses, and leaves behind."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from junctor.api.configuration import OperatorConfiguration, parse_configuration
from junctor.api.limits import Limits
from junctor.api.names import API_VERSION, CONNECTOR_CRD, GATEWAY_LABEL
from junctor.cli.gateway import gateway as gateway_command
from junctor.cli.operator import operator as operator_command
from junctor.gateway.config import RESERVED_HEADERS, GatewayFile
from junctor.gateway.config import parse_configuration as parse_gateway_configuration
from tests.cluster.api import Api, Object, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.processes import operator
from tests.cluster.release import CHART, EVERYBODY, RELEASE, HelmFailed, deployments, helm, render_chart
from tests.cluster.resources import fresh_namespace
from tests.cluster.tools import kubernetes_version
from tests.support.pages import ROOT, blocks

CRD = "apiextensions.k8s.io/v1/CustomResourceDefinition"
CONNECTOR = f"{API_VERSION}/MCPConnector"
VALUES = sorted((Path(__file__).parent / "chart").glob("*.yaml"))

each_values_file = pytest.mark.parametrize("file", VALUES, ids=lambda file: file.stem)


def values_of(file: Path) -> Any:
    return yaml.safe_load(file.read_text())


def configuration_of(objects: list[Object]) -> OperatorConfiguration:
    text = next(body["data"]["operator.yaml"] for body in objects if "operator.yaml" in body.get("data", {}))
    return parse_configuration(text, "operator.yaml")


def gateway_configurations(objects: list[Object]) -> dict[str, GatewayFile]:
    """By the name of the ConfigMap, which is the gateway's."""
    texts = {body["metadata"]["name"]: body["data"]["gateway.yaml"] for body in objects if "gateway.yaml" in body.get("data", {})}
    return {name: parse_gateway_configuration(text, name) for name, text in texts.items()}


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
        keys = ("connectorSelector", "namespaceSelector", "defaultConnectorID", "idPolicies", "idQuarantineSeconds")
        assert {key: rendered[key] for key in keys if key in rendered} == {key: each[key] for key in keys if key in each}
        assert gateway.limits == Limits.model_validate(each.get("limits", {}))
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
    for name in ("operator.yaml", "gateway.yaml"):
        (tmp_path / name).touch()

    for deployment in deployments(render_chart("somewhere", values_of(file))):
        program, *options = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
        command = {"operator": operator_command, "gateway": gateway_command}[program]
        command.make_context(program, [option.replace("/etc/junctor", str(tmp_path)) for option in options])


def test_a_key_of_a_gateway_replaces_the_default_as_a_whole() -> None:
    values = {
        **EVERYBODY,
        "gateways": [{"name": "small", "replicas": 0, "resources": {}}, {"name": "usual"}],
        "gatewayDefaults": {"callers": {"mode": "none"}, "replicas": 3, "resources": {"limits": {"memory": "1Gi"}}},
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

    usual = template(EVERYBODY)
    assert template({**EVERYBODY, "gatewayDefaults": {"callers": {"mode": "kubernetes"}, "replicas": 5}}) == usual
    assert template({**EVERYBODY, "gateways": [{"name": "default", "defaultConnectorID": "{namespace}.{name}"}]}) != usual


def test_another_model_server_makes_other_gateway_pods() -> None:
    def template(*upstreams: Mapping[str, Any]) -> Any:
        values = {**EVERYBODY, "gatewayDefaults": {"callers": {"mode": "none"}, "upstreams": upstreams}}
        return named(render_chart("somewhere", values), "Deployment", "junctor-gateway-default")["spec"]["template"]

    one = {"models": ["*"], "url": "http://vllm:8000"}
    assert template(one) == template(one)
    assert template(one) != template({**one, "url": "http://other:8000"})


def test_the_gateway_reads_each_model_server_and_finds_its_key_in_a_file_of_the_pod() -> None:
    values = values_of(Path(__file__).parent / "chart" / "everything.yaml")
    objects = render_chart("somewhere", values)

    configurations = gateway_configurations(objects)

    # The second one has a list of its own, which is empty.
    assert [name.rpartition("-gateway-")[2] for name in configurations] == ["public", "7"]
    for name, configuration in configurations.items():
        read = [
            (list(upstream.models), upstream.url.rstrip("/"), dict(upstream.headers), str(upstream.key_file))
            for upstream in configuration.upstreams
        ]
        assert read == [
            (["llama-*", "7"], "http://[2001:db8::1]:8000/v1", {"X-Team": "7", "X-Note": 'a "quoted" note'}, "keys/model-keys/first"),
            (["qwen-*"], "https://models.example.com/v1", {}, "keys/model-keys/second"),
            (["*"], "https://models.example.com/v1", {}, "keys/model-keys/first"),
        ]
        files = projected(named(objects, "Deployment", name))
        assert {("model-keys", "first", "keys/model-keys/first"), ("model-keys", "second", "keys/model-keys/second")} <= set(files)
        assert len(files) == len(set(files))


def projected(deployment: Object) -> list[tuple[str, str, str]]:
    """Secret, key and path of the files that a gateway's pod has from Secrets."""
    (volume,) = deployment["spec"]["template"]["spec"]["volumes"]
    secrets = [source["secret"] for source in volume["projected"]["sources"] if "secret" in source]
    return [(secret["name"], item["key"], item["path"]) for secret in secrets for item in secret["items"]]


@pytest.mark.parametrize(
    ("callers", "option", "files", "reviews"),
    [
        ({"mode": "none"}, "none", [], False),
        ({"mode": "kubernetes"}, "kubernetes", [], True),
        (
            {"mode": "apikeys", "keysSecretRef": {"name": "api-keys", "key": "keys.yaml"}},
            "apikeys:/etc/junctor/callers/keys.yaml",
            [("api-keys", "keys.yaml", "callers/keys.yaml")],
            False,
        ),
    ],
    ids=["none", "kubernetes", "apikeys"],
)
def test_each_way_to_know_callers_has_its_option_its_files_and_its_permission(
    callers: Any, option: str, files: list[Any], reviews: bool
) -> None:
    objects = render_chart("somewhere", {**EVERYBODY, "gatewayDefaults": {"callers": callers}})

    deployment = named(objects, "Deployment", "junctor-gateway-default")
    pod = deployment["spec"]["template"]["spec"]
    assert [each for each in pod["containers"][0]["args"] if each.startswith("--callers")] == [f"--callers={option}"]
    assert not files or pod["containers"][0]["volumeMounts"] == [{"name": "files", "mountPath": "/etc/junctor", "readOnly": True}]
    assert (projected(deployment) if "volumes" in pod else []) == files
    roles = [body for body in objects if body["kind"] == "ClusterRole" and "gateway" in body["metadata"]["name"]]
    granted = [{"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}]
    assert [role["rules"] for role in roles] == ([granted] if reviews else [])
    bindings = [body for body in objects if body["kind"] == "ClusterRoleBinding" and body["roleRef"]["name"].endswith("gateway-default")]
    account = {"kind": "ServiceAccount", "name": "junctor-gateway-default", "namespace": "somewhere"}
    assert [binding["subjects"] for binding in bindings] == ([[account]] if reviews else [])


def network_policies(objects: list[Object]) -> dict[str, Any]:
    """The specs, by name."""
    return {body["metadata"]["name"]: body["spec"] for body in objects if body["kind"] == "NetworkPolicy"}


def chosen(selector: Any, objects: list[Object]) -> list[str]:
    """The Deployments whose pods a selector of a policy chooses."""
    labels = {body["metadata"]["name"]: body["spec"]["template"]["metadata"]["labels"] for body in deployments(objects)}
    return [name for name, has in labels.items() if selector["matchLabels"].items() <= has.items()]


@each_values_file
def test_signals_come_from_the_operator_only_and_nobody_connects_to_it(file: Path) -> None:
    objects = render_chart("somewhere", values_of(file))

    policies = network_policies(objects)

    (operator_name,) = [body["metadata"]["name"] for body in deployments(objects) if body["metadata"]["name"].endswith("-operator")]
    assert policies.keys() == {body["metadata"]["name"] for body in deployments(objects)}
    for name, policy in policies.items():
        assert chosen(policy["podSelector"], objects) == [name]
        assert "Ingress" in policy["policyTypes"]
        if name == operator_name:
            assert "ingress" not in policy
            continue
        public, management = policy["ingress"]
        assert (public["ports"], management["ports"]) == ([{"port": 8321}], [{"port": 8322}])
        assert [chosen(peer["podSelector"], objects) for peer in management["from"]] == [[operator_name]]
        assert all(peer.keys() == {"podSelector"} for peer in management["from"]), "of this namespace"


def test_everybody_may_connect_to_a_gateway_unless_values_say_who() -> None:
    team = {"namespaceSelector": {"matchLabels": {"team": "a"}}}
    values = {**EVERYBODY, "gateways": [{"name": "open"}, {"name": "internal", "allowedFrom": [team]}]}

    policies = network_policies(render_chart("somewhere", values))

    public = {name.rpartition("-")[2]: policy["ingress"][0] for name, policy in policies.items() if "ingress" in policy}
    assert public == {"open": {"ports": [{"port": 8321}]}, "internal": {"ports": [{"port": 8321}], "from": [team]}}


def test_egress_is_limited_when_asked_for() -> None:
    api_server = {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [{"port": 6443}]}
    anywhere = {"ports": [{"port": 443}]}
    values: dict[str, Any] = {
        "operator": {"allNamespaces": True, "egress": [api_server]},
        "gatewayDefaults": {"callers": {"mode": "none"}, "egress": [api_server, anywhere]},
    }
    assert all("egress" not in policy for policy in network_policies(render_chart("somewhere", values)).values())

    objects = render_chart("somewhere", {**values, "networkPolicies": {"limitEgress": True}})

    policies = network_policies(objects)
    dns = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    signals, *others = policies["junctor-operator"]["egress"]
    assert (signals["ports"], chosen(signals["to"][0]["podSelector"], objects)) == ([{"port": 8322}], ["junctor-gateway-default"])
    assert others == [dns, api_server]
    assert policies["junctor-gateway-default"]["egress"] == [dns, api_server, anywhere]
    assert all("Egress" in policy["policyTypes"] for policy in policies.values())


def test_the_cluster_takes_the_network_policies_of_the_page_about_operating(control_plane: ControlPlane, restricted: str) -> None:
    (values,) = [values for values in values_of_operations() if "networkPolicies" in values]

    objects = render_chart(restricted, values)

    policies = [body for body in objects if body["kind"] == "NetworkPolicy"]
    answer = control_plane.kubectl(
        *("apply", "--dry-run=server", "--validate=strict", "--filename", "-"), input=yaml.safe_dump_all(policies)
    )
    assert len(answer.stdout.splitlines()) == 2
    told = network_policies(objects)
    assert told["junctor-operator"]["egress"][-2:] == values["operator"]["egress"]
    assert told["junctor-gateway-default"]["ingress"][0]["from"] == values["gatewayDefaults"]["allowedFrom"]


def values_of_operations() -> list[Any]:
    """The values in the page about operating."""
    return [yaml.safe_load(block.text) for block in blocks(ROOT / "docs" / "operations.md") if block.language == "yaml"]


def test_both_programs_follow_the_network_policy_of_the_page_about_operating() -> None:
    (values,) = [values for values in values_of_operations() if "networkPolicy" in values.get("gatewayDefaults", {})]
    given = {part: {**EVERYBODY[part], **values[part]} for part in ("gatewayDefaults", "operator")}

    objects = render_chart("somewhere", given)

    (configuration,) = gateway_configurations(objects).values()
    gateway = configuration.network_policy.policy()
    assert [bool(gateway.rules("other").refusal(address)) for address in ("10.100.0.1", "10.96.0.1", "8.8.8.8")] == [False, True, False]
    assert [bool(gateway.rules("team-a").refusal(address)) for address in ("10.100.0.1", "10.101.0.1", "8.8.8.8")] == [False, True, True]
    assert gateway.rules("other").refusal("2001:db8:64::a9fe:a9fe")
    operator = configuration_of(objects).network_policy.policy()
    assert [bool(operator.rules("other").refusal(address)) for address in ("10.100.0.1", "8.8.8.8")] == [True, False]


def test_network_policies_can_be_left_out() -> None:
    assert network_policies(render_chart("somewhere", {**EVERYBODY, "networkPolicies": {"enabled": False}})) == {}


def with_callers(**callers: Any) -> Any:
    return {"gatewayDefaults": {"callers": callers}}


def with_upstream(**fields: Any) -> Any:
    upstream = {"models": ["*"], "url": "http://vllm:8000"} | fields
    return {"gatewayDefaults": {"callers": {"mode": "none"}, "upstreams": [upstream]}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gatewayDefaults": {"replicas": "two"}}, "at '/gatewayDefaults/replicas': got string, want integer"),
        ({"gateways": [{"name": "a", "replica": 2}]}, "at '/gateways/0': additional properties 'replica' not allowed"),
        ({"gateways": [{"name": "Upper"}]}, "at '/gateways/0/name': 'Upper' does not match pattern"),
        ({"gateways": []}, "at '/gateways': minItems: got 0, want 1"),
        ({}, 'nobody said who may call "default"; set gatewayDefaults.callers.mode to kubernetes (tokens of this cluster), apikeys'),
        ({"gatewayDefaults": {"callers": None}}, 'nobody said who may call "default"; set gatewayDefaults.callers.mode'),
        ({**EVERYBODY, "gateways": [{"name": "a"}, {"name": "b", "callers": {}}]}, 'nobody said who may call "b"'),
        (with_callers(mode="everybody"), "at '/gatewayDefaults/callers/mode': value must be one of 'kubernetes', 'apikeys', 'none'"),
        ({"gatewayDefaults": {"callers": "none"}}, "at '/gatewayDefaults/callers': got string, want object"),
        (with_callers(mode="apikeys"), 'callers of "default" have mode apikeys; set callers.keysSecretRef.name and .key'),
        (with_callers(mode="apikeys", keysSecretRef={"name": "a"}), "at '/gatewayDefaults/callers/keysSecretRef': missing property 'key'"),
        (with_callers(mode="apikeys", keysSecretRef={"name": "a", "key": "../a"}), "/keysSecretRef/key': '../a' does not match pattern"),
        (with_callers(mode="none", keysSecretRef={"name": "a", "key": "b"}), 'callers of "default" have mode none and a keysSecretRef'),
        (with_upstream(url="vllm:8000"), "at '/gatewayDefaults/upstreams/0/url': 'vllm:8000' does not match pattern '^https?://"),
        (with_upstream(url="http://user:password@vllm"), "at '/gatewayDefaults/upstreams/0/url'"),
        (with_upstream(models=[]), "at '/gatewayDefaults/upstreams/0/models': minItems: got 0, want 1"),
        (with_upstream(api="responses"), "at '/gatewayDefaults/upstreams/0/api': value must be 'chat_completions'"),
        (with_upstream(key="secret"), "at '/gatewayDefaults/upstreams/0': additional properties 'key' not allowed"),
        (with_upstream(keySecretRef={"key": "k"}), "at '/gatewayDefaults/upstreams/0/keySecretRef': missing property 'name'"),
        (with_upstream(headers={"X Y": "z"}), "'X Y' does not match pattern"),
        (with_upstream(headers={"X-Y": "a\nb"}), "at '/gatewayDefaults/upstreams/0/headers/X-Y': 'a\\nb' does not match pattern"),
        (with_upstream(headers={"authorization": "Bearer x"}), 'upstreams[0] of "default" has a header authorization'),
        ({"gateways": [{"name": "a", "connectorSelector": {"team": "a"}}]}, "additional properties 'team' not allowed"),
        ({"gateways": [{"name": "a", "defaultConnectorID": "{namespace}"}]}, "at '/gateways/0/defaultConnectorID'"),
        (
            {**EVERYBODY, "networkPolicies": {"limitEgress": True}},
            "operator.egress is empty, so these pods could reach nothing, not even the API server",
        ),
        (
            {
                **EVERYBODY,
                "networkPolicies": {"limitEgress": True},
                "operator": {"allNamespaces": True, "egress": [{"ports": [{"port": 443}]}]},
            },
            'egress of the gateway "default" is empty, so these pods could reach nothing',
        ),
        ({"networkPolicies": {"egress": True}}, "at '/networkPolicies': additional properties 'egress' not allowed"),
        ({"gatewayDefaults": {"allowedFrom": [{"namespace": "a"}]}}, "at '/gatewayDefaults/allowedFrom/0'"),
        ({"operator": {"egress": [{}]}}, "at '/operator/egress/0': minProperties: got 0, want 1"),
        ({"operator": {"networkPolicy": {"denied": ["internal"]}}}, "at '/operator/networkPolicy/denied/0': 'internal' does not match"),
        ({"gatewayDefaults": {"networkPolicy": {"allow": []}}}, "additional properties 'allow' not allowed"),
        ({"operator": {"namespace": "a"}}, "at '/operator': additional properties 'namespace' not allowed"),
        ({"image": {"digest": "latest"}}, "at '/image/digest': 'latest' does not match pattern"),
        ({**EVERYBODY, "gateways": [{"name": "a"}, {"name": "a"}]}, 'two are named "a"; give each its own name'),
        ({**EVERYBODY, "gateways": [{"name": "a", "map": "m"}, {"name": "b", "map": "m"}]}, 'two share the map "m"; give each its own map'),
        (
            {**EVERYBODY, "operator": {"namespaces": ["n"]}, "gateways": [{"name": "a", "namespaceSelector": {"matchLabels": {"x": "y"}}}]},
            '"a" has a namespaceSelector, which reads the labels of all namespaces, so it cannot be used with operator.namespaces',
        ),
    ],
)
def test_wrong_values_are_refused_with_a_message_that_says_where(values: Any, message: str) -> None:
    with pytest.raises(HelmFailed) as caught:
        render_chart("somewhere", values)
    assert message in str(caught.value)


@pytest.mark.parametrize("header", sorted(RESERVED_HEADERS))
def test_headers_that_a_gateway_would_not_start_with_are_refused(header: str) -> None:
    with pytest.raises(HelmFailed, match=f"has a header {header}, which the gateway sets itself; remove it"):
        render_chart("somewhere", with_upstream(headers={header: "x"}))


def test_the_page_about_trouble_quotes_what_the_chart_says() -> None:
    section = next(
        part for part in (ROOT / "docs" / "troubleshooting.md").read_text().split("\n## ") if part.startswith("The chart is refused")
    )
    said = "".join(file.read_text() for file in (CHART / "templates").glob("*.tpl"))
    quoted = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert quoted
    assert [message for message in quoted if message not in said] == []


def test_uninstalling_keeps_the_connectors_and_collects_the_maps(tmp_path: Path) -> None:
    """With the operator running to the end: it must not write the map anew."""
    with ControlPlane(audit=False) as cluster, cluster.api() as api, fresh_namespace(api) as namespace:
        where = ("--namespace", namespace, "--wait=false")
        notes = helm("install", RELEASE, CHART, *where, values=EVERYBODY, kubeconfig=cluster.kubeconfig)
        assert "WARNING: callers of the gateway default are not asked who they are" in notes
        assert "subjects in connectorTemplate.access, exist for nobody there" in notes
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
        helm("install", RELEASE, CHART, *where, values=EVERYBODY, kubeconfig=cluster.kubeconfig)


def _maps_of(api: Api, namespace: str) -> list[str]:
    return [body["metadata"]["name"] for body in api.list("v1/ConfigMap", namespace, labels="junctor.dev/connector-map")]
