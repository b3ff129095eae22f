"""The loop's ports in memory."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any, cast

import httpx
import pytest

from junctor.api.configuration import GatewaySpec, OperatorConfiguration
from junctor.api.names import CREDENTIALS_LABEL
from junctor.gateway.serving.management import management_app
from junctor.gateway.serving.map_loader import MapLoader, NotAccepted, NotReadable, ReloadError, TooManyReloads
from junctor.offline.manifests import ObjectKey
from junctor.planning.statuses import StatusUpdate
from junctor.reconcile.ports import MapRejected, ObjectReference, Pod, PodUnreachable
from junctor.reconcile.snapshot import Snapshot
from junctor.standalone.adapters import KEPT_EVENTS, InProcessSignal, MemoryMapObjects, MemoryStatusSink, StoreCluster
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.objects import ObjectStore
from junctor.standalone.resources import resources_app
from tests.unit.planning.building import connector

POD = Pod("uid", "default", "127.0.0.1", "1")
KEY = ObjectKey("MCPConnector", "team-a", "x")
CREATED = "2025-01-01T00:00:00Z"
CONFIGURATION = OperatorConfiguration(
    api_version="config.junctor.dev/v1alpha1", kind="OperatorConfiguration", gateways=(GatewaySpec(namespace="standalone"),)
)


class _Loader:
    """A loader that fails as it is told to."""

    def __init__(self, failure: ReloadError | None) -> None:
        self._failure = failure

    def served(self) -> None:
        return None

    async def reload(self, sequence: int) -> Any:
        if self._failure is None:
            await asyncio.Event().wait()
        assert self._failure is not None
        raise self._failure


@pytest.mark.parametrize(
    ("failure", "wanted"),
    [
        (NotAccepted("bad digest"), MapRejected),
        (NotReadable("away"), PodUnreachable),
        (TooManyReloads(1.0), PodUnreachable),
        (None, PodUnreachable),
    ],
)
async def test_signal_tells_the_loop_why_the_gateway_does_not_serve_the_map(failure: ReloadError | None, wanted: type[Exception]) -> None:
    way = InProcessSignal()
    way.loader = cast("MapLoader", _Loader(failure))
    with pytest.raises(wanted):
        await way.reload(POD, 1, ["default"], deadline=0.01)


async def test_signal_before_the_gateway_is_there_is_tried_again() -> None:
    with pytest.raises(PodUnreachable):
        await InProcessSignal().reload(POD, 1, [], deadline=1.0)


async def test_signal_answers_what_is_served() -> None:
    objects = MemoryMapObjects("m")
    from junctor.connectormap.digests import revision_of
    from junctor.connectormap.head import Head

    await objects.write_head(Head("i", 1, 7, revision_of(b""), 0, ()).to_text(), None)
    way = InProcessSignal()
    way.loader = MapLoader(objects)
    acknowledgement = await way.reload(POD, 7, [], deadline=5.0)
    assert (acknowledgement.sequence, acknowledgement.rejected) == (7, {})


async def test_status_of_the_right_object_is_written() -> None:
    store = ObjectStore()
    store.apply(KEY, {"kind": "MCPConnector", "metadata": {}, "spec": {}}, CREATED)
    body = store.get(KEY)
    assert body is not None
    sink = MemoryStatusSink(store)
    await sink.write_status(StatusUpdate(connector("x", uid="another"), {"connectorID": "wrong"}, ()))
    await sink.write_status(StatusUpdate(connector("x", uid=body["metadata"]["uid"]), {"connectorID": "right"}, ()))
    await sink.write_status(StatusUpdate(connector("gone"), {}, ()))
    body = store.get(KEY)
    assert body is not None
    assert body["status"] == {"connectorID": "right"}


async def test_last_thousand_events_are_kept() -> None:
    sink = MemoryStatusSink(ObjectStore())
    for number in range(KEPT_EVENTS + 5):
        await sink.post_event(ObjectReference.of(connector("x")), warning=number % 2 == 0, reason="Ready", message=str(number))
    assert len(sink.events) == KEPT_EVENTS
    assert [sink.events[-1][key] for key in ("type", "reason", "message")] == ["Warning", "Ready", "1004"]
    assert datetime.fromisoformat(sink.events[-1]["time"]).tzinfo == UTC


async def test_refresh_replaces_the_snapshot() -> None:
    store, snapshot = ObjectStore(), Snapshot(CONFIGURATION, b"key")
    cluster = StoreCluster(store, snapshot)
    store.apply(KEY, {"kind": "MCPConnector", "metadata": {}, "spec": {"url": "https://a.example/"}}, CREATED)
    secret = {"kind": "Secret", "metadata": {"labels": {CREDENTIALS_LABEL: "true"}}, "data": {"k": base64.b64encode(b"v").decode()}}
    store.apply(ObjectKey("Secret", "team-a", "s"), secret, CREATED)
    assert not snapshot.complete
    assert await cluster.refresh()
    assert snapshot.complete
    assert await cluster.still_defined("MCPConnector")
    assert [item.resource.name for item in snapshot.connectors.items.values()] == ["x"]
    assert list(snapshot.inputs().secrets) == [("team-a", "s")]
    store.delete(KEY)
    await cluster.refresh()
    assert not snapshot.connectors.items


async def test_objects_are_a_list_of_whole_connectors_and_registries(tmp_path: Any) -> None:
    store = ObjectStore()
    manifest = {"apiVersion": "junctor.dev/v1alpha1", "kind": "MCPConnector", "metadata": {"annotations": {"team": "a"}}}
    store.apply(KEY, {**manifest, "spec": {"url": "https://a.example/", "tools": {"allow": ["x"]}}}, CREATED)
    store.apply(ObjectKey("Secret", "team-a", "s"), {"kind": "Secret", "metadata": {}, "data": {"k": "czNjcmV0"}}, CREATED)
    store.set_status(KEY, store.list("MCPConnector")[0]["metadata"]["uid"], {"connectorID": "x"})
    app = resources_app(
        management_app(MapLoader(MemoryMapObjects("m"))), store, ManifestDirectory(tmp_path, store), MemoryStatusSink(store)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = (await client.get("/-/objects")).json()
        refused = await client.delete("/-/objects")
    assert {key: answer[key] for key in ("apiVersion", "kind", "metadata")} == {
        "apiVersion": "v1",
        "kind": "List",
        "metadata": {"resourceVersion": ""},
    }
    assert answer["items"] == store.list("MCPConnector")
    assert answer["items"][0]["metadata"]["annotations"] == {"team": "a"}
    assert answer["items"][0]["status"] == {"connectorID": "x"}
    assert refused.status_code == 405


async def test_resources_are_shown_without_secret_values(tmp_path: Any) -> None:
    store = ObjectStore()
    store.apply(ObjectKey("Secret", "team-a", "s"), {"kind": "Secret", "metadata": {}, "data": {"k": "czNjcmV0"}}, CREATED)
    app = resources_app(
        management_app(MapLoader(MemoryMapObjects("m"))), store, ManifestDirectory(tmp_path, store), MemoryStatusSink(store)
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        answer = await client.get("/-/resources")
        refused = await client.post("/-/resources")
        alive = await client.get("/-/livez")
    assert answer.json()["resources"][0]["spec"] == {"keys": ["k"], "readable": False}
    assert "czNjcmV0" not in answer.text
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert alive.status_code == 200
