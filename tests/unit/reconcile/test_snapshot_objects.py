"""What the snapshot says of connectors, Secrets and pods."""

from typing import Any

import pytest

from junctor.api.endpoint import SecretKeyRef
from junctor.connectormap.credentials import credential_version, reference_hash
from tests.unit.planning.building import KEY
from tests.unit.reconcile.bodies import connector_body, pod_body, secret_body
from tests.unit.reconcile.snapshots import listed, snapshot

# --- connectors ---------------------------------------------------------------------------------------------------------------------


def test_change_of_the_status_alone_does_not_wake_the_loop() -> None:
    made = snapshot()
    made.observe_resource("MCPConnector", connector_body("a", 5), deleted=False)
    resource = made.connectors.items["uid-a"].resource
    assert not made.observe_resource("MCPConnector", connector_body("a", 6, status={"connectorID": "a"}), deleted=False)
    assert made.connectors.items["uid-a"].resource is resource
    assert made.connectors.items["uid-a"].status == {"connectorID": "a"}


@pytest.mark.parametrize(
    "change", [{"generation": 2, "url": "https://new.example.com"}, {"labels": {"tier": "gold"}}], ids=["spec", "labels"]
)
def test_change_of_spec_or_labels_wakes(change: dict[str, Any]) -> None:
    made = snapshot()
    made.observe_resource("MCPConnector", connector_body("a", 5), deleted=False)
    assert made.observe_resource("MCPConnector", connector_body("a", 6, **change), deleted=False)


def test_connector_that_is_being_deleted_is_removed_and_counts_as_deleted() -> None:
    made = snapshot()
    made.observe_resource("MCPConnector", connector_body("a", 5), deleted=False)
    assert made.observe_resource("MCPConnector", connector_body("a", 6, deletionTimestamp="2025-01-01T00:00:00Z"), deleted=False)
    assert made.inputs().connectors == {}
    assert made.inputs().deleted == {"uid-a"}


def test_deletion_event_after_a_list_without_the_object_is_still_news() -> None:
    made = snapshot()
    made.observe_resource("MCPConnector", connector_body("a", 5), deleted=False)
    listed(made.connectors, 10)
    assert made.observe_resource("MCPConnector", connector_body("a", 9), deleted=True)
    assert made.inputs().deleted == {"uid-a"}


def test_deletions_are_remembered_until_they_are_forgotten() -> None:
    made = snapshot()
    made.observe_resource("MCPConnector", connector_body("a", 5), deleted=True)
    seen = made.inputs().deleted
    made.observe_resource("MCPConnector", connector_body("b", 6), deleted=True)
    made.forget_deletions(seen)
    assert made.inputs().deleted == {"uid-b"}


# --- Secrets ------------------------------------------------------------------------------------------------------------------------


def credential(value: bytes) -> str:
    return f"{reference_hash('team-a', 'token', 'value')}.{credential_version(KEY, value)}"


def test_labelled_secret_gives_versions_and_values() -> None:
    made = snapshot()
    assert made.secrets.observe(secret_body("token", 5, value="one\n"))
    (versions,) = made.inputs().secrets.values()
    assert versions["value"].version == credential_version(KEY, b"one")
    assert made.credentials() == {credential(b"one"): b"one"}


@pytest.mark.parametrize("label", [None, "false", "published"])
def test_secret_whose_label_is_removed_disappears(label: str | None) -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5, value="one"))
    assert made.secrets.observe(secret_body("token", 6, label=label, value="one"))
    assert made.inputs().secrets == {}
    assert made.credentials() == {}


def test_secret_that_is_labelled_again_returns() -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5, value="one"))
    made.secrets.observe(secret_body("token", 6, label=None, value="one"), deleted=True)
    assert made.secrets.observe(secret_body("token", 7, value="one"))
    assert made.credentials() == {credential(b"one"): b"one"}


def test_value_that_is_rotated_after_the_observation_can_still_be_published() -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5, value="one"))
    observation = made.observation()
    made.secrets.observe(secret_body("token", 6, value="two"))
    assert observation.credentials == {credential(b"one"): b"one"}
    assert made.observation().credentials == {credential(b"two"): b"two"}


def test_values_are_never_shown() -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5, value="very-secret"))
    assert "very-secret" not in repr(made.secrets.items)


@pytest.mark.parametrize("data", [{"bad": "%%%", "good": "b25l"}, {"bad": None, "good": "b25l"}])
def test_value_that_cannot_be_decoded_hides_no_other(data: dict[str, Any]) -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5) | {"data": data})
    (versions,) = made.inputs().secrets.values()
    assert "good" in versions


@pytest.mark.parametrize(("value", "problem"), [("", "is empty"), ("a\nb", "holds line breaks or other control characters"), ("a\tb", "")])
def test_value_that_no_header_can_carry_is_a_problem(value: str, problem: str) -> None:
    made = snapshot()
    made.secrets.observe(secret_body("token", 5, value=value))
    (versions,) = made.inputs().secrets.values()
    assert versions["value"].problem == problem


# --- pods ---------------------------------------------------------------------------------------------------------------------------


def test_ready_pods_of_a_gateway_come_by_name() -> None:
    made = snapshot()
    for name in ("gw-1", "gw-0"):
        assert made.pods.observe(pod_body(name, 5, address=f"10.0.0.{name[-1]}"))
    assert [(item.name, item.address) for item in made.pods_of("default")] == [("gw-0", "10.0.0.0"), ("gw-1", "10.0.0.1")]


@pytest.mark.parametrize(
    "pod",
    [
        pod_body("gw", 5, ready=False),
        pod_body("gw", 5, address=None),
        pod_body("gw", 5, namespace="elsewhere"),
        pod_body("gw", 5, gateway="unknown"),
        {"metadata": {"name": "gw", "namespace": "junctor", "uid": "u", "resourceVersion": "5"}},
    ],
    ids=["not ready", "no address", "other namespace", "other gateway", "bare"],
)
def test_pod_that_cannot_be_signalled_does_not_count(pod: dict[str, Any]) -> None:
    made = snapshot()
    assert not made.pods.observe(pod)
    assert made.pods_of("default") == []


def test_pod_that_is_being_deleted_does_not_count() -> None:
    made = snapshot()
    made.pods.observe(pod_body("gw", 5))
    leaving = pod_body("gw", 6)
    leaving["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert made.pods.observe(leaving)
    assert made.pods_of("default") == []


@pytest.mark.parametrize(
    "change", [{"address": "10.0.0.9"}, {"restarts": 1}, {"since": "2025-01-01T00:05:00Z"}], ids=["address", "restart", "readiness flapped"]
)
def test_pod_that_began_anew_is_another_incarnation(change: dict[str, Any]) -> None:
    made = snapshot()
    made.pods.observe(pod_body("gw", 5))
    (before,) = made.pods_of("default")
    assert made.pods.observe(pod_body("gw", 6, **change))
    (after,) = made.pods_of("default")
    assert after.uid == before.uid
    assert after != before


def test_pod_whose_event_says_nothing_new_stays_the_same() -> None:
    made = snapshot()
    made.pods.observe(pod_body("gw", 5))
    assert not made.pods.observe(pod_body("gw", 6))


def test_pod_replaced_under_its_name_is_one_pod() -> None:
    made = snapshot()
    made.pods.observe(pod_body("gw-0", 5, uid="first"))
    made.pods.observe(pod_body("gw-0", 9, uid="second"))
    assert [item.uid for item in made.pods_of("default")] == ["second"]


# --- values of Secrets ------------------------------------------------------------------------------------------------------------------


class Unwalkable(dict[str, Any]):
    """A dict for lookups only."""

    def __iter__(self) -> Any:
        raise AssertionError("every registry that fails would walk through every Secret")

    def items(self) -> Any:
        return iter(self)

    def values(self) -> Any:
        return iter(self)


def test_value_of_a_secret_is_found_without_looking_at_the_others() -> None:
    made, ref, url = snapshot(), SecretKeyRef.model_validate({"name": "token", "key": "value"}), "https://registry.example.com"
    made.secrets.observe(secret_body("token", 5, uid="first", value="old"))
    made.secrets.observe(secret_body("token", 6, uid="second", value="new"))
    made.secrets.observe(secret_body("token", 7, uid="other", namespace="team-b", value="other"))
    made.secrets.items = Unwalkable(made.secrets.items)
    assert made.secret_value("team-a", ref, url) == b"new"
    assert made.secret_value("team-b", ref, url) == b"other"
    assert made.secret_value("team-c", ref, url) is None


def test_value_of_a_secret_is_gone_with_it() -> None:
    made, ref = snapshot(), SecretKeyRef.model_validate({"name": "token", "key": "value"})
    made.secrets.observe(secret_body("token", 5, value="old"))
    made.secrets.observe(secret_body("token", 6, value="old"), deleted=True)
    assert made.secret_value("team-a", ref, "https://registry.example.com") is None
    made.secrets.observe(secret_body("token", 7, uid="again", label=None, value="unlabelled"))
    assert made.secret_value("team-a", ref, "https://registry.example.com") is None
