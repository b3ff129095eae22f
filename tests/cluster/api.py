"""A small synchronous client of the Kubernetes API for tests: dictionaries in, dictionaries out."""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

Object = dict[str, Any]
T = TypeVar("T")

_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_NOT_READY_SECONDS = 60.0


class ApiError(Exception):
    """The API server refused a request. status: the HTTP status; reason: such as NotFound or Conflict; the message is the server's."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class Api:
    """Reads and writes objects of any kind; a kind is written `v1/Pod` or `junctor.dev/v1alpha1/MCPConnector`.

    Errors are ApiError, or httpx.TransportError while the server is away. A server that has just started and asks to come back (429)
    is asked again for some seconds.
    """

    def __init__(self, server: str, *, ca: Path, token: str) -> None:
        self._client = httpx.Client(
            base_url=server,
            verify=ssl.create_default_context(cafile=str(ca)),
            headers={"Authorization": f"Bearer {token}"},
            timeout=60.0,
            trust_env=False,
        )
        self._plurals: dict[str, tuple[str, bool]] = {}

    def get(self, kind: str, name: str, namespace: str | None = None) -> Object:
        """One object."""
        return self.request("GET", self._path(kind, namespace, name))

    def find(self, kind: str, name: str, namespace: str | None = None) -> Object | None:
        """One object, or None when there is none."""
        try:
            return self.get(kind, name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str | None = None, *, labels: str = "") -> list[Object]:
        """All objects of a kind, in a namespace or in all. labels: a selector. Each item has its apiVersion and kind."""
        answer = self.request("GET", self._path(kind, namespace), params={"labelSelector": labels} if labels else None)
        api_version, _, name = kind.rpartition("/")
        return [{"apiVersion": api_version, "kind": name, **item} for item in answer["items"]]

    def create(self, body: Object, namespace: str | None = None) -> Object:
        """Create an object; its namespace is in the body or given."""
        return self.request("POST", self._path(_kind(body), _namespace(body, namespace)), body)

    def replace(self, body: Object, namespace: str | None = None) -> Object:
        """Replace an object; with a resourceVersion in it only if it is still that one (409)."""
        return self.request("PUT", self._path_of(body, namespace), body)

    def replace_status(self, body: Object, namespace: str | None = None) -> Object:
        """Replace the status of an object."""
        return self.request("PUT", self._path_of(body, namespace) + "/status", body)

    def apply(self, body: Object, namespace: str | None = None, *, manager: str = "tests", force: bool = True) -> Object:
        """Server-side apply."""
        params = {"fieldManager": manager, "force": str(force).lower()}
        return self.request("PATCH", self._path_of(body, namespace), body, content_type=_APPLY_PATCH, params=params)

    def patch(self, kind: str, name: str, patch: Object, namespace: str | None = None) -> Object:
        """Merge-patch an object."""
        return self.request("PATCH", self._path(kind, namespace, name), patch, content_type=_MERGE_PATCH)

    def patch_status(self, kind: str, name: str, status: Object, namespace: str | None = None) -> Object:
        """Merge-patch the status of an object; `status` is what stands below `status:`."""
        return self.request("PATCH", self._path(kind, namespace, name) + "/status", {"status": status}, content_type=_MERGE_PATCH)

    def delete(self, kind: str, name: str, namespace: str | None = None, *, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is not there is fine. Does not wait for finalizers."""
        options: Object = {"propagationPolicy": "Background"}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            self.request("DELETE", self._path(kind, namespace, name), options)
        except ApiError as error:
            if error.status != 404:
                raise

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
        params: Mapping[str, str] | None = None,
    ) -> Object:
        """Any request; the answer's JSON."""
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": content_type}
        deadline = time.monotonic() + _NOT_READY_SECONDS
        while True:
            response = self._client.request(method, path, content=content, headers=headers, params=params)
            if response.status_code != 429 or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if response.is_success:
            answer: Object = response.json()
            return answer
        raise _error(response)

    def text(self, path: str) -> str:
        """The text of any path, such as /readyz."""
        response = self._client.get(path)
        if not response.is_success:
            raise _error(response)
        return response.text

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _path_of(self, body: Object, namespace: str | None) -> str:
        return self._path(_kind(body), _namespace(body, namespace), body["metadata"]["name"])

    def _path(self, kind: str, namespace: str | None, name: str | None = None) -> str:
        plural, namespaced = self._plural(kind)
        api_version = kind.rpartition("/")[0]
        path = _root(api_version) + (f"/namespaces/{namespace}" if namespaced and namespace is not None else "") + f"/{plural}"
        if name is None:
            return path
        if namespaced and namespace is None:
            raise ValueError(f"{kind} {name}: say the namespace")
        return f"{path}/{name}"

    def _plural(self, kind: str) -> tuple[str, bool]:
        """The resource of a kind and whether it is namespaced, from the server's discovery; asked again for a kind that is new."""
        if kind not in self._plurals:
            api_version = kind.rpartition("/")[0]
            for resource in self.request("GET", _root(api_version))["resources"]:
                if "/" not in resource["name"]:
                    self._plurals[f"{api_version}/{resource['kind']}"] = (resource["name"], resource["namespaced"])
        if kind not in self._plurals:
            raise ApiError(404, "NotFound", f"the server has no kind {kind}")
        return self._plurals[kind]


def wait_for(predicate: Callable[[], T], timeout: float = 60.0, describe: str | Callable[[], str] = "the condition") -> T:
    """Call `predicate` until its answer is true, and return that.

    A server that is away and objects that are not there (404) count as not yet. Raises TimeoutError with `describe` (called at the end,
    if it is a function) and the last error.
    """
    deadline = time.monotonic() + timeout
    last: Exception | None = None
    while True:
        try:
            if answer := predicate():
                return answer
            last = None
        except httpx.TransportError as error:
            last = error
        except ApiError as error:
            if error.status not in (404, 429, 500, 503):
                raise
            last = error
        if time.monotonic() > deadline:
            what = describe if isinstance(describe, str) else describe()
            raise TimeoutError(f"not within {timeout:g} s: {what}" + (f"; last error: {last!r}" if last else ""))
        time.sleep(0.02)


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _kind(body: Object) -> str:
    return f"{body['apiVersion']}/{body['kind']}"


def _namespace(body: Object, namespace: str | None) -> str | None:
    return body["metadata"].get("namespace") or namespace


def _error(response: httpx.Response) -> ApiError:
    try:
        status = response.json()
        return ApiError(response.status_code, status.get("reason", ""), status.get("message", response.text))
    except ValueError:
        return ApiError(response.status_code, response.reason_phrase, response.text)
