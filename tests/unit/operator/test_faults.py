"""Statuses, map objects and full LISTs when the API server answers with errors or the kind is on its way out."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from junctor.api.names import CONNECTOR_PLURAL, REGISTRY_PLURAL
from junctor.connectormap.head import HEAD_KEY
from junctor.kube.client import Conflict as ServerConflict
from junctor.kube.client import KubernetesError, NotFound, Refused
from junctor.kube.client import Unavailable as ServerUnavailable
from junctor.operator.cluster import KubernetesCluster
from junctor.operator.map_objects import ConfigMapObjects
from junctor.operator.status_sink import KubernetesStatusSink
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.ports import Conflict, ObjectReference, StoredObject, Unavailable
from junctor.reconcile.snapshot import Snapshot
from tests.unit.planning.building import KEY, connector
from tests.unit.reconcile.bodies import configuration, connector_body


class Api:
    """As much of KubernetesApi as the adapters use: what is there by path, and errors by verb and path."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.lists: dict[str, list[list[dict[str, Any]]]] = {}
        self.fault: Callable[[str, str], KubernetesError | None] = lambda verb, path: None
        self.calls: list[tuple[str, str]] = []

    def _call(self, verb: str, path: str) -> None:
        self.calls.append((verb, path))
        error = self.fault(verb, path)
        if error is not None:
            raise error

    async def get(self, path: str) -> dict[str, Any]:
        self._call("get", path)
        if path not in self.objects:
            raise NotFound(404, "404: not found")
        return self.objects[path]

    async def list(self, path: str, *, label_selector: str = "", page_size: int = 500) -> AsyncIterator[tuple[list[dict[str, Any]], str]]:
        for number, page in enumerate(self.lists.get(path.rsplit("/", 1)[-1], [[]])):
            self._call(f"list {number}", path)
            yield page, "50"

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._call("create", path)
        return body | {"metadata": body["metadata"] | {"uid": "uid-new", "resourceVersion": "9"}}

    async def merge_patch(self, path: str, patch: dict[str, Any]) -> dict[str, Any]:
        self._call("patch", path)
        self.objects[path] = self.objects[path] | {"data": {**self.objects[path].get("data", {}), **patch["data"]}}
        return self.objects[path]

    async def replace(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._call("replace", path)
        return body

    async def apply(self, path: str, body: dict[str, Any], *, field_manager: str) -> dict[str, Any]:
        self._call("apply", path)
        return body

    async def delete(self, path: str, *, uid: str | None = None, version: str | None = None) -> None:
        self._call("delete", path)


@pytest.fixture
def api() -> Api:
    made = Api()
    made.objects[CRD] = {"metadata": {"name": "mcpconnectors.junctor.dev"}}
    return made


CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mcpconnectors.junctor.dev"


def cluster(api: Api) -> tuple[KubernetesCluster, Snapshot]:
    configured = configuration()
    snapshot = Snapshot(configured, KEY)
    return KubernetesCluster(api, configured, snapshot, []), snapshot  # type: ignore[arg-type]


def on(verb: str, ending: str, error: KubernetesError) -> Callable[[str, str], KubernetesError | None]:
    return lambda called, path: error if called == verb and path.endswith(ending) else None


# --- full LISTs ---------------------------------------------------------------------------------------------------------------------


async def test_lists_make_the_snapshot_complete(api: Api) -> None:
    reads, snapshot = cluster(api)
    api.lists[CONNECTOR_PLURAL] = [[connector_body("a", 5)], [connector_body("b", 6)]]
    assert await reads.refresh()
    assert snapshot.complete
    assert set(snapshot.inputs().connectors) == {"uid-a", "uid-b"}


@pytest.mark.parametrize("error", [ServerUnavailable(429, "429"), ServerUnavailable(500, "500"), Refused(403, "403"), Refused(410, "410")])
@pytest.mark.parametrize("page", ["list 0", "list 1"])
async def test_list_that_fails_on_any_page_removes_nothing(api: Api, error: KubernetesError, page: str) -> None:
    reads, snapshot = cluster(api)
    api.lists[CONNECTOR_PLURAL] = [[connector_body("a", 5)], [connector_body("b", 6)]]
    await reads.refresh()
    api.lists[CONNECTOR_PLURAL] = [[connector_body("a", 5)], []]
    api.fault = on(page, CONNECTOR_PLURAL, error)
    assert not await reads.refresh()
    assert set(snapshot.inputs().connectors) == {"uid-a", "uid-b"}
    assert snapshot.inputs().connectors_known


async def test_one_kind_that_cannot_be_listed_keeps_no_other_from_being_listed(api: Api) -> None:
    reads, snapshot = cluster(api)
    api.fault = on("list 0", "/secrets", Refused(403, "403"))
    assert not await reads.refresh()
    assert snapshot.pods.synced
    assert snapshot.connectors.synced
    assert not snapshot.complete


async def test_missing_kind_is_not_an_empty_one(api: Api) -> None:
    reads, snapshot = cluster(api)
    api.fault = on("list 0", CONNECTOR_PLURAL, NotFound(404, "404"))
    assert not await reads.refresh()
    assert not snapshot.inputs().connectors_known


async def test_empty_list_of_a_kind_that_is_being_removed_is_not_believed(api: Api) -> None:
    reads, snapshot = cluster(api)
    api.lists[CONNECTOR_PLURAL] = [[connector_body("a", 5)]]
    await reads.refresh()
    api.lists[CONNECTOR_PLURAL] = [[]]
    api.objects[CRD]["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert not await reads.refresh()
    assert not snapshot.inputs().connectors_known
    assert set(snapshot.inputs().connectors) == {"uid-a"}


async def test_list_waits_while_it_is_not_known_whether_the_kind_is_being_removed(api: Api) -> None:
    reads, snapshot = cluster(api)
    api.lists[CONNECTOR_PLURAL] = [[connector_body("a", 5)]]
    await reads.refresh()
    api.lists[CONNECTOR_PLURAL] = [[]]
    api.fault = on("get", "mcpconnectors.junctor.dev", ServerUnavailable(503, "503"))
    assert not await reads.refresh()
    assert set(snapshot.inputs().connectors) == {"uid-a"}


REGISTRY_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/mcpregistries.junctor.dev"


@pytest.mark.parametrize("error", [NotFound(404, "404"), Refused(403, "403")], ids=["older CRDs", "older permissions"])
@pytest.mark.parametrize("request_", [("list 0", REGISTRY_PLURAL), ("get", "mcpregistries.junctor.dev")], ids=["list", "CRD"])
async def test_a_cluster_without_registries_is_complete_and_says_so_once(
    api: Api, error: KubernetesError, request_: tuple[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    api.objects[REGISTRY_CRD] = {"metadata": {"name": "mcpregistries.junctor.dev"}}
    reads, snapshot = cluster(api)
    api.fault = on(*request_, error)
    assert [await reads.refresh(), await reads.refresh()] == [True, True]
    assert (snapshot.complete, snapshot.inputs().connectors_known, snapshot.inputs().registries_known) == (True, True, False)
    assert [record.getMessage().split(",")[0] for record in caplog.records] == ["registries are not read"]


async def test_registries_that_may_not_be_listed_any_more_are_asked_for_again(api: Api) -> None:
    api.objects[REGISTRY_CRD] = {"metadata": {"name": "mcpregistries.junctor.dev"}}
    reads, snapshot = cluster(api)
    assert await reads.refresh()
    api.fault = on("list 0", REGISTRY_PLURAL, Refused(403, "403"))
    assert not await reads.refresh()
    assert snapshot.inputs().registries_known


async def test_kind_that_is_marked_for_removal_is_not_defined(api: Api) -> None:
    reads, _ = cluster(api)
    assert await reads.still_defined("MCPConnector")
    api.objects[CRD]["metadata"]["deletionTimestamp"] = "2025-01-01T00:00:00Z"
    assert not await reads.still_defined("MCPConnector")
    del api.objects[CRD]
    assert not await reads.still_defined("MCPConnector")


# --- statuses -----------------------------------------------------------------------------------------------------------------------


async def write(api: Api, error: KubernetesError) -> None:
    api.fault = on("apply", "/status", error)
    await KubernetesStatusSink(api).write_status(StatusUpdate(connector("a"), {}, ()))  # type: ignore[arg-type]


async def test_status_of_a_deleted_resource_is_no_error(api: Api) -> None:
    await write(api, NotFound(404, "404"))


@pytest.mark.parametrize(
    "error",
    [
        ServerConflict(409, "409: the object has been modified; please apply your changes to the latest version"),
        ServerUnavailable(503, "503"),
        Refused(422, "422"),
    ],
    ids=["modified", "unavailable", "refused"],
)
async def test_status_that_was_not_written_is_an_error(api: Api, error: KubernetesError) -> None:
    with pytest.raises((Unavailable, Conflict)):
        await write(api, error)


async def test_event_in_a_deleted_namespace_is_no_error(api: Api) -> None:
    api.fault = on("create", "/events", NotFound(404, "404"))
    sink = KubernetesStatusSink(api)  # type: ignore[arg-type]
    await sink.post_event(ObjectReference("v1", "ConfigMap", "gone", "a", "uid-a"), warning=False, reason="R", message="m")


# --- map objects --------------------------------------------------------------------------------------------------------------------


def objects(api: Api) -> ConfigMapObjects:
    return ConfigMapObjects(api, configuration().gateways[0])  # type: ignore[arg-type]


async def test_missing_anchor_is_made_with_the_installation_that_is_remembered(api: Api) -> None:
    assert await objects(api).installation("") == "uid-new"
    assert await objects(api).installation("earlier") == "earlier"


async def test_head_deleted_under_a_write_is_a_conflict(api: Api) -> None:
    api.fault = on("replace", "junctor-connectors", NotFound(404, "404"))
    with pytest.raises(Conflict):
        await objects(api).write_head("text", StoredObject("junctor-connectors", "uid", "7", True))


@pytest.mark.parametrize("error", [ServerUnavailable(429, "429"), ServerUnavailable(503, "503"), Refused(403, "403")])
async def test_error_of_the_server_is_one_of_the_port(api: Api, error: KubernetesError) -> None:
    api.fault = lambda verb, path: error
    with pytest.raises(Unavailable, match=str(error.status)):
        await objects(api).read_head()


async def test_shard_that_exists_with_another_content_is_a_conflict(api: Api) -> None:
    api.fault = on("create", "/configmaps", ServerConflict(409, "409", "AlreadyExists"))
    api.objects["/api/v1/namespaces/junctor/configmaps/s"] = {"metadata": {"name": "s", "uid": "u", "resourceVersion": "1"}, "data": {}}
    with pytest.raises(Conflict):
        await objects(api).create_shard("s", "text")


@pytest.mark.parametrize("error", [NotFound(404, "404"), ServerConflict(409, "409")])
async def test_shard_that_was_deleted_or_replaced_is_left_alone(api: Api, error: KubernetesError) -> None:
    api.fault = lambda verb, path: error
    await objects(api).delete_shard(StoredObject("s", "u", "1", True))


async def test_foreign_head_is_not_owned(api: Api) -> None:
    made = objects(api)
    await made.installation("")
    body: dict[str, Any] = {"metadata": {"name": "junctor-connectors", "uid": "u", "resourceVersion": "1"}, "data": {HEAD_KEY: "x"}}
    api.objects["/api/v1/namespaces/junctor/configmaps/junctor-connectors"] = body
    head = await made.read_head()
    assert head is not None
    assert not head.owned
