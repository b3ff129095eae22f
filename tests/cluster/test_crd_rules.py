"""The generated CRDs on a real API server: what it refuses and says, what it accepts, what kubectl shows."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.cluster.api import Api, ApiError, Object
from tests.cluster.controlplane import ControlPlane
from tests.cluster.crd_cases import Case, accepted, refused
from tests.cluster.resources import fresh_namespace

_KIND = "junctor.dev/v1alpha1/MCPConnector"
_REGISTRY = "junctor.dev/v1alpha1/MCPRegistry"


@pytest.fixture
def connector(api: Api, namespace: str) -> str:
    """A fresh connector that no operator has seen."""
    spec = {"url": "https://mcp.example.com/mcp"}
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "github"}, "spec": spec}
    created: str = api.create(body, namespace)["metadata"]["name"]
    return created


@pytest.fixture
def registry(api: Api, namespace: str) -> str:
    """A fresh registry that no operator has seen."""
    spec = {"url": "https://registry.example.com"}
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPRegistry", "metadata": {"name": "internal"}, "spec": spec}
    created: str = api.create(body, namespace)["metadata"]["name"]
    return created


class Judge:
    """Asks the API server what it thinks of an object, as `kubectl apply --dry-run=server` does; nothing new is stored."""

    def __init__(self, api: Api, namespace: str, *, server_side: bool) -> None:
        self._api = api
        self._namespace = namespace
        self._server_side = server_side

    def judge(self, case: Case) -> None:
        """Create the object, or make the change to the object that is stored for that. Raises ApiError when it is refused."""
        *before, last = case.objects
        try:
            stored = [self._send(body) for body in before]
            self._send(last, *stored, dryRun="All")
        finally:
            for body in before:
                self._api.delete(f"{body['apiVersion']}/{body['kind']}", body["metadata"]["name"], self._namespace)

    def _send(self, body: Object, stored: Object | None = None, **params: str) -> Object:
        """Strictly validated, as kubectl asks for it."""
        plural = {"MCPConnector": "mcpconnectors", "MCPRegistry": "mcpregistries"}[body["kind"]]
        path = f"/apis/{body['apiVersion']}/namespaces/{self._namespace}/{plural}"
        params |= {"fieldManager": "kubectl", "fieldValidation": "Strict"}
        if self._server_side:
            path = f"{path}/{body['metadata']['name']}"
            return self._api.request("PATCH", path, body, content_type="application/apply-patch+yaml", params=params)
        if stored is None:
            return self._api.request("POST", path, body, params=params)
        version = {"resourceVersion": stored["metadata"]["resourceVersion"]}
        return self._api.request(
            "PUT", f"{path}/{body['metadata']['name']}", {**body, "metadata": {**body["metadata"], **version}}, params=params
        )


@pytest.fixture(scope="module")
def module_namespace(api: Api) -> Iterator[str]:
    """One namespace for all objects that are only judged."""
    with fresh_namespace(api) as name:
        yield name


@pytest.mark.parametrize("case", refused())
@pytest.mark.parametrize("way", ["client-side", "server-side"])
def test_the_api_server_refuses_and_says_where_and_why(api: Api, module_namespace: str, case: Case, way: str) -> None:
    server_side = way == "server-side"
    with pytest.raises(ApiError) as caught:
        Judge(api, module_namespace, server_side=server_side).judge(case)
    message = caught.value.message
    if server_side and case.server_side_apply:
        assert case.server_side_apply in message
    else:
        assert f"{case.field}: " in message
        assert case.expect in message


@pytest.mark.parametrize("case", accepted())
def test_the_api_server_accepts(api: Api, module_namespace: str, case: Case) -> None:
    Judge(api, module_namespace, server_side=False).judge(case)


@pytest.mark.parametrize("case", [case for case in refused() if case.id in ("MCPConnector-url-ftp", "MCPRegistry-change-of-the-id")])
@pytest.mark.parametrize("options", [[], ["--server-side"]], ids=["client-side", "server-side"])
def test_kubectl_apply_shows_what_the_api_server_says(control_plane: ControlPlane, namespace: str, case: Case, options: list[str]) -> None:
    *before, last = case.objects
    for body in before:
        control_plane.kubectl("apply", "-n", namespace, *options, "-f", "-", input=json.dumps(body))
    answer = control_plane.kubectl("apply", "-n", namespace, *options, "-f", "-", input=json.dumps(last), check=False)
    assert answer.returncode != 0
    assert f"{case.field}: " in answer.stderr
    assert case.expect in answer.stderr


def test_values_of_headers_are_not_repeated_in_messages(control_plane: ControlPlane, namespace: str) -> None:
    spec = {"url": "https://mcp.example.com/mcp", "headers": [{"name": "Authorization", "value": "Bearer s3cret\n"}]}
    body = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "github"}, "spec": spec}
    answer = control_plane.kubectl("apply", "-n", namespace, "-f", "-", input=json.dumps(body), check=False)
    assert "do not write credentials" in answer.stderr
    assert "s3cret" not in answer.stderr


def test_a_fresh_connector_is_pending_and_nobody_waits_in_vain(
    control_plane: ControlPlane, api: Api, namespace: str, connector: str
) -> None:
    conditions = api.get(_KIND, connector, namespace)["status"]["conditions"]
    assert {c["type"]: (c["status"], c["reason"]) for c in conditions} == dict.fromkeys(
        ("Accepted", "ResolvedRefs", "Programmed", "Ready"), ("Unknown", "Pending")
    )
    answer = control_plane.kubectl(
        "wait", "-n", namespace, "--for=condition=Ready", "--timeout=1s", f"mcpconnector/{connector}", check=False
    )
    assert answer.returncode != 0
    assert "timed out waiting for the condition" in answer.stderr


def test_kubectl_get_shows_id_url_and_conditions(control_plane: ControlPlane, api: Api, namespace: str, connector: str) -> None:
    condition = {"status": "True", "reason": "Ready", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    ready = [condition | {"type": kind} for kind in ("Accepted", "Programmed")]
    ready += [condition | {"type": "Ready", "message": "served by 2 of 2 pods"}]
    api.patch_status(_KIND, connector, {"connectorID": "github", "conditions": ready}, namespace)

    header, row = control_plane.kubectl("get", "mcpc", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert header.split() == ["NAME", "ID", "URL", "ACCEPTED", "PROGRAMMED", "READY", "AGE", "MESSAGE"]
    assert row.split()[:6] == ["github", "github", "https://mcp.example.com/mcp", "True", "True", "True"]
    assert row.endswith("served by 2 of 2 pods")
    assert "MESSAGE" not in control_plane.kubectl("get", "mcpc", "-n", namespace).stdout


def test_a_fresh_registry_is_pending(api: Api, namespace: str, registry: str) -> None:
    conditions = api.get(_REGISTRY, registry, namespace)["status"]["conditions"]
    assert {c["type"]: (c["status"], c["reason"]) for c in conditions} == dict.fromkeys(
        ("Accepted", "ResolvedRefs", "Synced", "Programmed", "Ready"), ("Unknown", "Pending")
    )


def test_kubectl_get_shows_the_sync_of_a_registry(control_plane: ControlPlane, api: Api, namespace: str, registry: str) -> None:
    condition = {"status": "True", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    conditions = [
        condition | {"type": "Synced", "reason": "ConnectorLimitReached"},
        condition | {"type": "Ready", "reason": "Ready", "message": "served by 2 of 2 pods"},
    ]
    skipped = [{"reason": "NoRemote", "count": 3, "examples": ["com.example/a"]}, {"reason": "Filtered", "count": 1}]
    counts = {"registryID": "internal", "discovered": 816, "published": 812, "lastSyncTime": "2026-01-01T00:00:00Z", "skipped": skipped}
    stored = api.patch_status(_REGISTRY, registry, {"conditions": conditions, **counts}, namespace)
    assert stored["status"]["skipped"] == skipped

    header, row = control_plane.kubectl("get", "mcpr", "-n", namespace, "-o", "wide").stdout.splitlines()
    assert re.split(r"\s{2,}", header.strip()) == [
        "NAME",
        "ID",
        "URL",
        "SYNCED",
        "PUBLISHED",
        "LAST SYNC",
        "READY",
        "AGE",
        "REASON",
        "MESSAGE",
    ]
    assert row.split()[:5] == ["internal", "internal", "https://registry.example.com", "True", "812"]
    assert re.search(r"ConnectorLimitReached\s+served by 2 of 2 pods$", row)


@pytest.mark.parametrize("name", ["mcpr", "mcpregistry", "mcpregistries", "junctor"])
def test_kubectl_get_knows_the_names_of_registries(control_plane: ControlPlane, namespace: str, registry: str, name: str) -> None:
    assert registry in control_plane.kubectl("get", name, "-n", namespace, "-o", "name").stdout


def test_registries_are_found_by_their_id(control_plane: ControlPlane, api: Api, namespace: str, registry: str) -> None:
    spec = {"url": "https://registry.example.com", "registryID": "public"}
    api.create({"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPRegistry", "metadata": {"name": "named"}, "spec": spec}, namespace)
    found = control_plane.kubectl("get", "mcpr", "-n", namespace, "--field-selector", "spec.registryID=public", "-o", "name").stdout
    assert found.split() == ["mcpregistry.junctor.dev/named"]


@pytest.mark.parametrize("name", ["mcpc", "mcpconnector", "mcpconnectors", "junctor"])
def test_kubectl_get_knows_short_name_and_category(control_plane: ControlPlane, namespace: str, connector: str, name: str) -> None:
    assert connector in control_plane.kubectl("get", name, "-n", namespace, "-o", "name").stdout


def test_connectors_are_found_by_their_id(control_plane: ControlPlane, api: Api, namespace: str, connector: str) -> None:
    spec = {"url": "https://mcp.example.com/mcp", "connectorID": "connector_a"}
    api.create({"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"name": "named"}, "spec": spec}, namespace)
    found = control_plane.kubectl("get", "mcpc", "-n", namespace, "--field-selector", "spec.connectorID=connector_a", "-o", "name").stdout
    assert found.split() == ["mcpconnector.junctor.dev/named"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("mcpconnector", "declares one MCP server"),
        ("mcpconnector.spec.auth", "How the gateway authenticates to the server"),
        ("mcpconnector.spec.headers.valueFrom.secretKeyRef", "junctor.dev/credentials"),
        ("mcpconnector.spec.limits.callTimeoutSeconds", "Absent: 60."),
        ("mcpconnector.status.conditions.reason", "docs/conditions.md"),
        ("mcpregistry", "declares a registry that speaks the MCP Registry API"),
        ("mcpregistry.spec.auth", "How Junctor authenticates to the registry itself"),
        ("mcpregistry.spec.sync.intervalSeconds", "Absent: 300."),
        ("mcpregistry.spec.connectorTemplate.limits.callTimeoutSeconds", "Absent: 60."),
        ("mcpregistry.spec.credentials.hosts", "hosts that may receive the credentials"),
        ("mcpregistry.status.skipped.reason", "docs/conditions.md"),
    ],
)
def test_kubectl_explain_tells_what_a_field_is_for(control_plane: ControlPlane, path: str, says: str) -> None:
    assert says in " ".join(control_plane.kubectl("explain", path).stdout.split())
