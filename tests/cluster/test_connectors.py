"""What a platform team sees with kubectl: apply, change, break and delete connectors; each status is compared with what gateways serve."""

from pathlib import Path

import httpx
import pytest

from junctor.api.names import CREDENTIALS_LABEL
from tests.cluster.api import wait_for
from tests.cluster.system import CONNECTOR, System


@pytest.fixture
def system(shared_system: System) -> System:
    return shared_system


def kubectl(system: System, *arguments: str, text: str | None = None) -> str:
    return system.control_plane.kubectl(*arguments, "--namespace", system.team, input=text).stdout


def test_apply_wait_get_describe_delete(system: System) -> None:
    manifest = """
apiVersion: junctor.dev/v1alpha1
kind: MCPConnector
metadata: {name: github}
spec: {connectorID: connector_github, url: "https://api.github.com/mcp", description: Issues and pull requests}
"""
    kubectl(system, "apply", "-f", "-", text=manifest)
    kubectl(system, "wait", "--for=condition=Ready", "mcpc/github", "--timeout=60s")
    for gateway in system.gateways:
        item = gateway.connectors()["connector_github"]
        assert (item["description"], item["available"]) == ("Issues and pull requests", True)
    header, row = kubectl(system, "get", "mcpc", "github").splitlines()
    assert header.split() == ["NAME", "ID", "URL", "ACCEPTED", "PROGRAMMED", "READY", "AGE"]
    assert row.split()[:6] == ["github", "connector_github", "https://api.github.com/mcp", "True", "True", "True"]
    assert "served by 2 of 2 pods" in kubectl(system, "get", "mcpc", "github", "-o", "wide")
    wait_for(lambda: "Ready Unknown -> True" in kubectl(system, "describe", "mcpc", "github"), describe="an Event tells of the transition")
    kubectl(system, "delete", "mcpc", "github")
    system.wait_served()


def test_the_resource_gets_nothing_but_a_status(system: System) -> None:
    created = system.create("plain")
    system.wait_ready("plain")
    body = system.api.get(CONNECTOR, "plain", system.team)
    assert not body["metadata"].get("finalizers")
    assert not body["metadata"].get("annotations")
    assert body["metadata"]["generation"] == 1
    assert body["spec"] == created["spec"]
    status = body["status"]
    assert status["observedGeneration"] == 1
    assert status["connectorID"] == "plain"
    assert status["gateways"] == [{"name": "default", "acknowledged": 2, "pods": 2, "reason": "Ready"}]
    assert {item["type"]: item["status"] for item in status["conditions"]} == {
        "Accepted": "True",
        "ResolvedRefs": "True",
        "Programmed": "True",
        "Ready": "True",
    }


def test_a_change_is_served_by_every_gateway_once_the_status_is_ready_at_its_generation(system: System) -> None:
    system.create("changing", description="one")
    system.wait_ready("changing")
    system.patch("changing", description="two")
    system.wait_ready("changing")
    assert [gateway.connectors()["changing"]["description"] for gateway in system.gateways] == ["two", "two"]


def test_a_disabled_connector_leaves_the_gateways_and_keeps_its_resource(system: System) -> None:
    system.create("sleepy")
    system.wait_ready("sleepy")
    system.patch("sleepy", state="Disabled")
    system.wait_condition("sleepy", "Ready", "True", "Disabled")
    assert [gateway.connectors() for gateway in system.gateways] == [{}, {}]
    system.patch("sleepy", state=None)
    system.wait_condition("sleepy", "Ready", "True", "Ready")
    system.wait_served("sleepy")


def test_a_missing_secret_is_named_and_heals_when_it_is_created_while_others_go_on(system: System) -> None:
    system.create("healthy")
    system.create("waiting", auth={"bearer": {"secretKeyRef": {"name": "late", "key": "token"}}})
    found = system.wait_condition("waiting", "ResolvedRefs", "False", "SecretNotFound")
    assert f"{system.team}/late" in found["message"]
    system.wait_condition("waiting", "Ready", "False", "UnresolvedRefs")
    system.wait_ready("healthy")
    for gateway in system.gateways:
        item = gateway.connectors()["waiting"]
        assert (item["available"], item["reason"]) == (False, "SecretNotFound")
    system.secret("late", {"token": "s3cr3t-value"})
    system.wait_ready("waiting")
    assert system.condition("waiting", "ResolvedRefs")["status"] == "True"


def test_a_secret_without_the_label_is_not_read_until_it_is_labelled(system: System) -> None:
    system.secret("private", {"token": "value"}, labelled=False)
    system.create("hopeful", headers=[{"name": "X-Key", "valueFrom": {"secretKeyRef": {"name": "private", "key": "token"}}}])
    found = system.wait_condition("hopeful", "ResolvedRefs", "False", "SecretNotFound")
    assert f"kubectl label secret -n {system.team} private {CREDENTIALS_LABEL}=true" in found["message"]
    kubectl(system, "label", "secret", "private", f"{CREDENTIALS_LABEL}=true")
    system.wait_ready("hopeful")


def test_a_missing_key_is_named(system: System) -> None:
    system.secret("keys", {"other": "value"})
    system.create("keyless", auth={"bearer": {"secretKeyRef": {"name": "keys", "key": "token"}}})
    assert "'token'" in system.wait_condition("keyless", "ResolvedRefs", "False", "SecretKeyNotFound")["message"]
    system.api.patch("v1/Secret", "keys", {"stringData": {"token": "value"}}, system.team)
    system.wait_ready("keyless")


def test_no_answer_of_a_gateway_and_no_config_map_holds_a_secret_value(system: System) -> None:
    value = "very-secret-value-4711"
    system.secret("hidden", {"token": value})
    system.create("discreet", auth={"bearer": {"secretKeyRef": {"name": "hidden", "key": "token"}}})
    system.wait_ready("discreet")
    address = system.gateways[0].address
    pages = [
        httpx.get(f"http://{address}:{port}{path}", trust_env=False, timeout=60).text
        for port, path in ((8321, "/v1/connectors"), (8321, "/v1/connectors/discreet"), (8322, "/-/revision"))
    ]
    maps = [str(body) for body in system.api.list("v1/ConfigMap", system.namespace)]
    logs = [gateway.process.log() for gateway in system.gateways] + [system.operator.log()]
    assert not any(value in text for text in (*pages, *maps, *logs))


def test_loser_of_an_id_conflict_names_the_winner_and_heals_when_it_is_deleted(system: System) -> None:
    system.create("first", connectorID="shared")
    system.wait_ready("first")
    system.create("second", connectorID="shared", description="the second")
    found = system.wait_condition("second", "Accepted", "False", "IDConflict")
    assert f"{system.team}/first" in found["message"]
    assert system.condition("first", "Ready")["status"] == "True"
    system.delete("first")
    system.wait_ready("second")
    assert system.gateways[0].connectors()["shared"]["description"] == "the second"


def test_an_object_that_somebody_gave_a_wrong_status_gets_the_right_one_again(system: System) -> None:
    system.create("honest")
    system.wait_ready("honest")
    lie = {"type": "Ready", "status": "False", "reason": "Lie", "message": "no", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    system.api.patch_status(CONNECTOR, "honest", {"conditions": [lie]}, system.team)
    system.wait_ready("honest")
    assert system.condition("honest", "Accepted")["status"] == "True"


def test_a_connector_deleted_and_created_again_gets_a_status_of_its_own(system: System) -> None:
    system.create("phoenix", description="old")
    system.wait_ready("phoenix")
    old = system.api.get(CONNECTOR, "phoenix", system.team)["metadata"]["uid"]
    system.delete("phoenix")
    system.create("phoenix", description="new")
    system.wait_ready("phoenix")
    assert system.api.get(CONNECTOR, "phoenix", system.team)["metadata"]["uid"] != old
    assert system.gateways[1].connectors()["phoenix"]["description"] == "new"


def test_a_stored_object_that_breaks_a_newer_rule_is_invalid_and_says_where(system: System, tmp_path: Path) -> None:
    """As after an upgrade of the CRD: the rule did not exist when the object was stored."""
    crd = "apiextensions.k8s.io/v1/CustomResourceDefinition"
    whole = system.api.get(crd, "mcpconnectors.junctor.dev")
    lax = system.api.get(crd, "mcpconnectors.junctor.dev")
    schema = lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    schema.pop("x-kubernetes-validations")
    schema["properties"]["url"].pop("x-kubernetes-validations", None)
    system.api.replace(lax)
    try:

        def stored() -> bool:
            try:
                system.create("ancient", url="ftp://files.example.com")
            except Exception as error:
                if "422" in str(error):
                    return False  # the API server still checks by the old schema
                raise
            return True

        wait_for(stored, describe="the rule is gone")
        found = system.wait_condition("ancient", "Accepted", "False", "Invalid")
        assert "spec.url" in found["message"]
        assert system.condition("ancient", "Stalled")["status"] == "True"
    finally:
        body = system.api.get(crd, "mcpconnectors.junctor.dev")
        system.api.replace({**body, "spec": whole["spec"]})


def test_an_unknown_policy_field_is_refused_and_an_unknown_descriptive_field_ignored_with_an_event(system: System) -> None:
    """As after a downgrade of the operator: the CRD knows fields that the operator does not."""
    crd = "apiextensions.k8s.io/v1/CustomResourceDefinition"
    whole = system.api.get(crd, "mcpconnectors.junctor.dev")
    newer = system.api.get(crd, "mcpconnectors.junctor.dev")
    properties = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    properties["quota"] = {"type": "object", "properties": {"callsPerDay": {"type": "integer"}}}
    properties["displayColor"] = {"type": "string", "maxLength": 10}
    system.api.replace(newer)
    try:

        def stored() -> bool:
            body = system.create("modern", quota={"callsPerDay": 3})
            if "quota" not in body["spec"]:
                system.delete("modern")
            return "quota" in body["spec"]

        wait_for(stored, describe="the API server knows the new fields")
        system.operator.restart()
        found = system.wait_condition("modern", "Accepted", "False", "UnsupportedField")
        assert "spec.quota" in found["message"]
        system.create("colorful", displayColor="red")
        system.wait_ready("colorful")
        wait_for(
            lambda: any(item["reason"] == "FieldIgnored" and "spec.displayColor" in item["message"] for item in system.events()),
            describe="an Event tells of the ignored field",
        )
        assert "modern" not in system.gateways[0].connectors()
    finally:
        body = system.api.get(crd, "mcpconnectors.junctor.dev")
        system.api.replace({**body, "spec": whole["spec"]})
