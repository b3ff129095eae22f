"""What `kubectl get` would show of a standalone Junctor, on its management port for `junctor status`.

GET /-/resources    a summary of every object, with the problems of files and the last events
GET /-/objects      the connectors and registries in full, as the List that `kubectl get -o json` prints
"""

from collections.abc import Callable
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.api.names import CONNECTOR_KIND, CREDENTIALS_LABEL, CREDENTIALS_READABLE, REGISTRY_KIND
from junctor.gateway.web.json_response import JSONResponse
from junctor.net.formats import KubernetesObject, KubernetesObjectView
from junctor.standalone.adapters import MemoryStatusSink
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.objects import ObjectStore
from junctor.standalone.summary import ResourceSummary, Summary

RESOURCES_PATH: Final = "/-/resources"
OBJECTS_PATH: Final = "/-/objects"
_SUMMARY_FIELDS: Final = ("connectorID", "registryID", "url", "transport", "title", "description", "state")


def resources_app(app: ASGIApp, store: ObjectStore, directory: ManifestDirectory, sink: MemoryStatusSink) -> ASGIApp:
    """Add the two paths to the management port's app."""
    answers: dict[str, Callable[[], Summary | KubernetesObject]] = {
        RESOURCES_PATH: lambda: summary(store, directory, sink),
        OBJECTS_PATH: lambda: object_list(store),
    }

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        answer = answers.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            refusal = {"error": f"{scope['method'][:20]} is not possible on {scope['path']}; use GET"}
            await JSONResponse(refusal, status_code=405, headers={"Allow": "GET, HEAD"})(scope, receive, send)
        else:
            await JSONResponse(answer())(scope, receive, send)

    return serve


def object_list(store: ObjectStore) -> KubernetesObject:
    """Return the connectors and registries with their whole spec and status, as a List."""
    items = [body for kind in (CONNECTOR_KIND, REGISTRY_KIND) for body in store.list(kind)]
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items}


def summary(store: ObjectStore, directory: ManifestDirectory, sink: MemoryStatusSink) -> Summary:
    """Return summaries of resources, the problems of files, and events, the newest last; never a Secret's value."""
    resources = [_resource(body) for kind in (CONNECTOR_KIND, REGISTRY_KIND, "Namespace", "Secret") for body in store.list(kind)]
    return {
        "manifests": str(directory.root),
        "resources": resources,
        "problems": [problem.to_json() for problem in directory.problems],
        "events": list(sink.events),
    }


def _resource(body: KubernetesObjectView) -> ResourceSummary:
    metadata = {name: value for name, value in body["metadata"].items() if name != "annotations"}
    return {
        "apiVersion": body.get("apiVersion"),
        "kind": body["kind"],
        "metadata": metadata,
        "spec": _spec_summary(body),
        "status": body.get("status") or {},
    }


def _spec_summary(body: KubernetesObjectView) -> KubernetesObjectView:
    if body["kind"] == "Secret":
        readable = (body["metadata"].get("labels") or {}).get(CREDENTIALS_LABEL) == CREDENTIALS_READABLE
        return {"keys": sorted(body.get("data") or {}), "readable": readable}
    return {name: value for name, value in (body.get("spec") or {}).items() if name in _SUMMARY_FIELDS}
