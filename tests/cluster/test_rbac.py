"""The permissions of the chart are enough and no more: real processes run through a story, the API server's audit log is the judge."""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from junctor.api.names import API_VERSION, CREDENTIALS_LABEL, MAP_LABEL
from junctor.connectormap.credentials import CREDENTIAL_OBJECTS, credential_object, credential_object_name, reference_hash
from tests.cluster.api import Api, Object, wait_for
from tests.cluster.controlplane import ControlPlane
from tests.cluster.pods import GatewayPod
from tests.cluster.processes import Process, gateway, operator
from tests.cluster.release import Release, install_release
from tests.cluster.resources import fresh_namespace
from tests.support.fake_registry import FakeRegistry
from tests.support.ports import free_subnet
from tests.support.registry_data import PUBLISHED, servers

CONNECTOR = f"{API_VERSION}/MCPConnector"
REGISTRY = f"{API_VERSION}/MCPRegistry"
#: More than these have to vanish at once before the operator holds the loss back and posts an Event about the map.
MANY = 24
#: Callers bring tokens of the cluster: the only way to know them for which the gateway needs a permission.
TOKENS = {"gatewayDefaults": {"callers": {"mode": "kubernetes"}}}


@dataclass(frozen=True)
class Grant:
    """One verb on one resource for a service account. namespace None: in the whole cluster. name None: on objects of any name."""

    user: str
    namespace: str | None
    group: str
    resource: str
    verb: str
    name: str | None

    def used_by(self, event: Object, known_names: frozenset[str]) -> bool:
        """Whether an audit event needed exactly this grant: a wider one than the event asked for is not used.

        known_names: names that could have been listed; a grant for any name has to be used with another one.
        """
        target = event.get("objectRef", {})
        resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
        asked = (event["user"]["username"], target.get("apiGroup", ""), resource, event["verb"])
        if asked != (self.user, self.group, self.resource, self.verb):
            return False
        if self.verb in ("list", "watch"):
            return bool(target.get("namespace") == self.namespace)
        if self.namespace is not None and target.get("namespace") != self.namespace:
            return False
        if self.name is not None:
            return bool(target.get("name") == self.name)
        return self.verb == "create" or target.get("name") not in known_names


def grants_of(objects: Sequence[Object]) -> set[Grant]:
    """Everything that the roles among rendered objects grant to those whom the bindings name."""
    roles = {_key(body["kind"], body["metadata"]): body for body in objects if body["kind"] in ("Role", "ClusterRole")}
    found: set[Grant] = set()
    for binding in objects:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        namespace = binding["metadata"].get("namespace")
        role = roles[_key(binding["roleRef"]["kind"], {"name": binding["roleRef"]["name"], "namespace": namespace})]
        for subject in binding["subjects"]:
            user = f"system:serviceaccount:{subject['namespace']}:{subject['name']}"
            for rule in role["rules"]:
                found.update(
                    Grant(user, namespace, group, resource, verb, name)
                    for group in rule["apiGroups"]
                    for resource in rule["resources"]
                    for verb in rule["verbs"]
                    for name in rule.get("resourceNames", [None])
                )
    return found


def _key(kind: str, metadata: dict[str, Any]) -> tuple[str, str | None, str]:
    return kind, metadata.get("namespace") if kind == "Role" else None, metadata["name"]


class Story:
    """A release whose operator and gateways run as the chart's service accounts; each step returns when it has shown its effect."""

    def __init__(self, control_plane: ControlPlane, api: Api, release: Release, team: str, processes: ExitStack, logs: Path) -> None:
        self.control_plane = control_plane
        self.api = api
        self.release = release
        self.team = team
        self.addresses: dict[str, str] = {}
        subnet = free_subnet()
        for number, (name, connector_map) in enumerate(release.maps.items(), 2):
            address = self.addresses[name] = f"{subnet}.{number}"
            processes.enter_context(
                gateway(
                    f"configmap:{release.namespace}/{connector_map}",
                    *("--management-host", address, "--callers", "kubernetes"),
                    host=address,
                    kubeconfig=release.gateway_kubeconfigs[name],
                    log_file=logs / f"gateway-{name}.log",
                    name=f"gateway {name}",
                )
            )
            GatewayPod.create(api, release.namespace, f"{name}-0", address, gateway=name)
        self.operator: Process = processes.enter_context(
            operator(
                release.operator_config,
                release.operator_kubeconfig,
                *release.operator_options,
                *("--health-port", "0", "--log-format", "text"),
                log_file=logs / "operator.log",
            )
        )

    def run(self) -> None:
        """All that the operator and the gateways ever do."""
        self.connectors_with_credentials_are_served()
        self.callers_show_their_tokens()
        self.a_secret_is_rotated()
        self.a_connector_changes()
        self.a_reference_is_missing()
        self.a_connector_is_disabled()
        self.a_registry_is_read()
        for connector_map in self.release.maps.values():
            self.the_head_is_deleted(connector_map)
            self.a_shard_is_deleted(connector_map)
            self.a_shard_loses_its_label(connector_map)
        self.connectors_are_deleted()
        self.many_connectors_vanish_while_the_operator_is_away()

    def connectors_with_credentials_are_served(self) -> None:
        keys = _keys_for_all_secrets(self.team, "tokens")
        self.api.create(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "tokens", "namespace": self.team, "labels": {CREDENTIALS_LABEL: "true"}},
                "stringData": {key: f"value of {key}" for key in keys},
            }
        )
        headers = [
            {"name": f"X-{number}", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": key}}} for number, key in enumerate(keys)
        ]
        self._create("github", headers=headers)
        self._create("plain")
        self._await("github", "Ready")
        self._await("plain", "Ready")

    def callers_show_their_tokens(self) -> None:
        """One for the gateways is let in; one for the API server is not, though its service account exists."""
        tokens = {
            audience: self.control_plane.service_account_token(self.team, "default", audience=audience) for audience in ("junctor", None)
        }
        for address in self.addresses.values():
            answers = {
                audience: httpx.get(
                    f"http://{address}:8321/v1/connectors", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
                )
                for audience, token in tokens.items()
            }
            assert {audience: answer.status_code for audience, answer in answers.items()} == {"junctor": 200, None: 401}

    def a_secret_is_rotated(self) -> None:
        before = self._sequences()
        key = _keys_for_all_secrets(self.team, "tokens")[0]
        self.api.patch("v1/Secret", "tokens", {"stringData": {key: "rotated"}}, self.team)
        wait_for(lambda: all(now > then for now, then in zip(self._sequences(), before, strict=True)), describe="the rotation is published")
        wait_for(lambda: self._credentials() == CREDENTIAL_OBJECTS, describe="the old value is removed")

    def a_connector_changes(self) -> None:
        self.api.patch(CONNECTOR, "plain", {"spec": {"description": "changed"}}, self.team)
        self._await("plain", "Ready")

    def a_reference_is_missing(self) -> None:
        self._create("broken", auth={"bearer": {"secretKeyRef": {"name": "nowhere", "key": "token"}}})
        self._await("broken", "ResolvedRefs", "False")

    def a_connector_is_disabled(self) -> None:
        self.api.patch(CONNECTOR, "plain", {"spec": {"state": "Disabled"}}, self.team)
        self._await("plain", "Ready", reason="Disabled")
        self.api.patch(CONNECTOR, "plain", {"spec": {"state": None}}, self.team)
        self._await("plain", "Ready", reason=None)

    def a_registry_is_read(self) -> None:
        metadata = {"name": "community", "namespace": self.team, "labels": {"story": self.team}}
        with FakeRegistry(servers(10, mix=PUBLISHED)) as registry:
            self.api.create({"apiVersion": API_VERSION, "kind": "MCPRegistry", "metadata": metadata, "spec": {"url": registry.url}})
            self._await("community", "Ready", resource=REGISTRY)
        self.api.delete(REGISTRY, "community", self.team)
        wait_for(lambda: [head["registries"] for head in self._heads()] == [[], []], describe="the maps hold no registry")

    def the_head_is_deleted(self, connector_map: str) -> None:
        old = self._config_map(connector_map)["metadata"]["uid"]
        self.api.delete("v1/ConfigMap", connector_map, self.release.namespace)
        wait_for(lambda: self._config_map(connector_map)["metadata"]["uid"] != old, describe="the head is written again")

    def a_shard_is_deleted(self, connector_map: str) -> None:
        old = self._config_map(self._shards(connector_map)[0])["metadata"]
        self.api.delete("v1/ConfigMap", old["name"], self.release.namespace)
        wait_for(lambda: self._config_map(old["name"])["metadata"]["uid"] != old["uid"], describe="the shard is written again")

    def a_shard_loses_its_label(self, connector_map: str) -> None:
        """The operator no longer sees it, creates it, finds it there, and reads it to know whether it is the one."""
        shard = self._shards(connector_map)[0]
        self.api.patch("v1/ConfigMap", shard, {"metadata": {"labels": {MAP_LABEL: None}}}, self.release.namespace)
        wait_for(
            lambda: any(
                event["verb"] == "get" and event.get("objectRef", {}).get("name") == shard
                for event in self.events(self.release.operator_user)
            ),
            describe=f"the operator reads {shard}",
        )

    def connectors_are_deleted(self) -> None:
        for name in ("github", "plain", "broken"):
            self.api.delete(CONNECTOR, name, self.team)
        wait_for(lambda: self._credentials() == 0, describe="no credentials are left")
        wait_for(lambda: not any(self._shards(name) for name in self.release.maps.values()), describe="no shards are left")

    def many_connectors_vanish_while_the_operator_is_away(self) -> None:
        names = [f"many-{number}" for number in range(MANY)]
        for name in names:
            self._create(name)
        for name in names:
            self._await(name, "Ready")
        self.operator.terminate()
        for name in names:
            self.api.delete(CONNECTOR, name, self.team)
        self.operator.restart()
        wait_for(
            lambda: "ConnectorLossHeld" in {event["reason"] for event in self.api.list("v1/Event", self.release.namespace)},
            describe=lambda: f"the loss is held back\n{self.operator.tail()}",
        )

    def events(self, *users: str) -> list[Object]:
        """What these users asked of the API server."""
        return [event for event in self.control_plane.audit_events() if event["user"].get("username") in users]

    def _create(self, name: str, **spec: Any) -> None:
        metadata = {"name": name, "namespace": self.team, "labels": {"story": self.team}}
        spec["url"] = f"http://{name}.invalid/mcp"
        self.api.create({"apiVersion": API_VERSION, "kind": "MCPConnector", "metadata": metadata, "spec": spec})

    def _await(self, name: str, kind: str, status: str = "True", reason: str | None = "", resource: str = CONNECTOR) -> None:
        """Wait for a condition of the current generation. reason: "" for any, None for any but Disabled."""

        def shown() -> bool:
            connector = self.api.get(resource, name, self.team)
            condition = next(item for item in connector["status"]["conditions"] if item["type"] == kind)
            if condition.get("observedGeneration") != connector["metadata"]["generation"] or condition["status"] != status:
                return False
            return bool(condition["reason"] != "Disabled" if reason is None else condition["reason"].startswith(reason))

        wait_for(shown, describe=lambda: f"{kind} of {name} is {status}: {self.api.get(resource, name, self.team)}\n{self.operator.tail()}")

    def _config_map(self, name: str) -> Object:
        return self.api.get("v1/ConfigMap", name, self.release.namespace)

    def _heads(self) -> list[Any]:
        return [json.loads(self._config_map(name)["data"]["head.json"]) for name in self.release.maps.values()]

    def _sequences(self) -> list[int]:
        return [head["sequence"] for head in self._heads()]

    def _shards(self, connector_map: str) -> list[str]:
        return [shard["name"] for shard in json.loads(self._config_map(connector_map)["data"]["head.json"])["shards"]]

    def _credentials(self) -> int:
        """How many values each map has stored; -1 while the maps differ."""
        counts: set[int] = set()
        for connector_map in self.release.maps.values():
            names = [credential_object_name(connector_map, number) for number in range(CREDENTIAL_OBJECTS)]
            secrets = [self.api.find("v1/Secret", name, self.release.namespace) for name in names]
            counts.add(sum(len(secret.get("data", {})) for secret in secrets if secret is not None))
        return counts.pop() if len(counts) == 1 else -1


def _keys_for_all_secrets(namespace: str, name: str) -> list[str]:
    """Keys of a Secret that are stored in sixteen different ones: the stored name begins with a hash of namespace, name and key."""
    keys: dict[int, str] = {}
    number = 0
    while len(keys) < CREDENTIAL_OBJECTS:
        key = f"key-{number}"
        keys.setdefault(credential_object(reference_hash(namespace, name, key)), key)
        number += 1
    return list(keys.values())


@pytest.fixture
def team(api: Api) -> Iterator[str]:
    """A namespace beside the release's."""
    with fresh_namespace(api, {"story": "yes"}) as name:
        yield name


def everywhere(team: str) -> dict[str, Any]:
    return {
        **TOKENS,
        "operator": {"allNamespaces": True},
        "gateways": [
            {"name": "default", "connectorSelector": {"matchLabels": {"story": team}}},
            {"name": "team", "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": team}}},
        ],
    }


def one_namespace(team: str) -> dict[str, Any]:
    return {**TOKENS, "operator": {"namespaces": [team]}, "gateways": [{"name": "default"}, {"name": "team"}]}


@pytest.mark.parametrize("values", [everywhere, one_namespace])
def test_the_story_needs_every_permission_and_no_other(
    values: Any, control_plane: ControlPlane, api: Api, namespace: str, team: str, tmp_path: Path
) -> None:
    release = install_release(control_plane, namespace, values(team))
    users = (release.operator_user, *release.gateway_users.values())
    with ExitStack() as processes:
        processes.callback(release.uninstall)
        story = Story(control_plane, api, release, team, processes, tmp_path)
        story.run()
        events = story.events(*users)

    # A namespace of another test that is being deleted refuses new objects with the same status.
    living = {body["metadata"]["name"] for body in api.list("v1/Namespace") if "deletionTimestamp" not in body["metadata"]}
    refused = [
        event
        for event in events
        if event.get("responseStatus", {}).get("code") == 403 and event.get("objectRef", {}).get("namespace") in (None, *living)
    ]
    assert [(event["user"]["username"], event["verb"], event["requestURI"]) for event in refused] == []
    assert {event["user"]["username"] for event in events} == set(users)

    known = frozenset(name for connector_map in release.maps.values() for name in (connector_map, f"{connector_map}-anchor"))
    unused = {grant for grant in grants_of(release.objects) if not any(grant.used_by(event, known) for event in events)}
    assert sorted(map(str, unused)) == []


def test_a_verb_that_nothing_uses_is_noticed() -> None:
    user = "system:serviceaccount:ns:operator"
    event = {
        "user": {"username": user},
        "verb": "get",
        "objectRef": {"resource": "configmaps", "namespace": "ns", "name": "head", "apiVersion": "v1"},
    }

    def used(namespace: str | None, verb: str, name: str | None) -> bool:
        return Grant(user, namespace, "", "configmaps", verb, name).used_by(event, frozenset({"head"}))

    assert used("ns", "get", "head")
    assert not used("ns", "get", "other")
    assert not used("ns", "get", None), "any name, where one that is known would do"
    assert not used("ns", "update", "head")
    assert not used("elsewhere", "get", "head")
