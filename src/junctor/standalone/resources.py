"""`GET /-/resources` on the management port: what `kubectl get` would show of a standalone Junctor, read by `junctor status`."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from junctor.api.names import CONNECTOR_KIND, CREDENTIALS_LABEL, CREDENTIALS_READABLE, REGISTRY_KIND
from junctor.gateway.web.json_response import JSONResponse
from junctor.offline.problems import Problem
from junctor.standalone.adapters import MemoryStatusSink
from junctor.standalone.directory import ManifestDirectory
from junctor.standalone.objects import Body, ObjectStore

PATH: Final = "/-/resources"
_SHOWN: Final = ("connectorID", "registryID", "url", "transport", "title", "description", "state")


def resources_app(app: ASGIApp, store: ObjectStore, directory: ManifestDirectory, sink: MemoryStatusSink) -> ASGIApp:
    """The management port's app with one path more."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != PATH:
            await app(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            refusal = {"error": f"{scope['method'][:20]} is not possible on {PATH}; use GET"}
            await JSONResponse(refusal, status_code=405, headers={"Allow": "GET, HEAD"})(scope, receive, send)
        else:
            await JSONResponse(listing(store, directory, sink))(scope, receive, send)

    return serve


def listing(store: ObjectStore, directory: ManifestDirectory, sink: MemoryStatusSink) -> dict[str, Any]:
    """Resources, problems of files, and events, the newest last. Never a Secret's value."""
    resources = [_resource(body) for kind in (CONNECTOR_KIND, REGISTRY_KIND, "Namespace", "Secret") for body in store.list(kind)]
    return {
        "manifests": str(directory.root),
        "resources": resources,
        "problems": [_problem(problem) for problem in directory.problems],
        "events": list(sink.events),
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {"file": problem.file, "message": problem.message, "line": problem.line, "column": problem.column}


def _resource(body: Body) -> dict[str, Any]:
    metadata = {name: value for name, value in body["metadata"].items() if name != "annotations"}
    return {
        "apiVersion": body.get("apiVersion"),
        "kind": body["kind"],
        "metadata": metadata,
        "spec": _summary(body),
        "status": body.get("status") or {},
    }


def _summary(body: Body) -> Mapping[str, Any]:
    if body["kind"] == "Secret":
        readable = (body["metadata"].get("labels") or {}).get(CREDENTIALS_LABEL) == CREDENTIALS_READABLE
        return {"keys": sorted(body.get("data") or {}), "readable": readable}
    return {name: value for name, value in (body.get("spec") or {}).items() if name in _SHOWN}
