"""A thin async Kubernetes API: the official client's credentials and connections, plain dicts instead of its models.

The typed models cost more time and memory than the calls themselves (81 MB for two typed API groups), and nothing here needs them.

    KubernetesError         the server answered with an error; carries `status` and the server's message
    +-- NotFound            404
    +-- Conflict            409: a precondition failed, or the object exists already
    +-- Refused             403, 422 and other 4xx: trying again will not help
    +-- Unavailable         429, 5xx and connections that fail: try again later; `retry_after` in seconds when the server said so
"""

import json
import os
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client import ApiClient, Configuration

from junctor.net.formats import KubernetesObject
from junctor.net.retry_after import retry_after_seconds

JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"


class KubernetesError(Exception):
    """An answer of the API server that is not a success."""

    def __init__(self, status: int, message: str, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFound(KubernetesError):
    """The object, or the whole kind, does not exist."""


class Conflict(KubernetesError):
    """A precondition failed or the object exists already."""


class Refused(KubernetesError):
    """The request is not permitted or not valid."""


class Unavailable(KubernetesError):
    """The server could not be reached or is overloaded; the same request may succeed later."""


class CredentialsError(Exception):
    """There is no usable kubeconfig and no service account; the message says where was looked."""


async def load_configuration(kubeconfig: Path | None = None, *, pool_size: int = 64) -> Configuration:
    """Credentials of the service account inside a pod, of `kubeconfig` or $KUBECONFIG or ~/.kube/config elsewhere."""
    configuration = Configuration()
    configuration.connection_pool_maxsize = pool_size
    # Otherwise every request looks for a netrc file, in a thread: 0.7 ms each. A proxy of the kubeconfig is still used.
    configuration.client_session_kwargs = {"trust_env": False}
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ and not os.environ.get("KUBECONFIG"):
            kubernetes_config.load_incluster_config(client_configuration=configuration)
        else:
            if kubeconfig is None:
                _check_named_files(os.environ.get("KUBECONFIG") or "~/.kube/config")
            await kubernetes_config.load_kube_config(
                config_file=str(kubeconfig) if kubeconfig else None, client_configuration=configuration
            )
    except Exception as error:  # the library raises whatever comes of reading a file that is no kubeconfig
        looked = str(kubeconfig) if kubeconfig else "the pod's service account, $KUBECONFIG and ~/.kube/config"
        is_expected = isinstance(error, (kubernetes_config.ConfigException, OSError))
        why = " ".join(str(error).split()) if is_expected else "it is not a kubeconfig file"
        raise CredentialsError(f"no usable Kubernetes credentials in {looked}: {why}") from error
    return configuration


def _check_named_files(paths: str) -> None:
    """Raise FileNotFoundError where not one of the files exists: the library logs that and complains of an empty kubeconfig."""
    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep)):
        raise FileNotFoundError(f"{paths} does not exist")


class KubernetesApi:
    """The verbs that Junctor uses, on paths such as `/api/v1/namespaces/ns/configmaps/name`."""

    def __init__(self, configuration: Configuration, *, timeout: float = 30.0) -> None:
        self.configuration = configuration
        self._client = ApiClient(configuration)
        self._timeout = timeout

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None) -> Self:
        """Load credentials; no request is made yet. Raises CredentialsError."""
        return cls(await load_configuration(kubeconfig))

    async def close(self) -> None:
        """Close the connections."""
        await self._client.rest_client.close()

    async def get(self, path: str) -> KubernetesObject:
        """Read one object. Raises NotFound."""
        return await self._request("GET", path)

    async def list(self, path: str, *, label_selector: str = "", page_size: int = 500) -> AsyncIterator[tuple[list[KubernetesObject], str]]:
        """Read a collection in pages of (items, resourceVersion of the list)."""
        token = ""
        while True:
            query = {"limit": str(page_size), "labelSelector": label_selector, "continue": token}
            page = await self._request("GET", path, query={key: value for key, value in query.items() if value})
            metadata = page.get("metadata") or {}
            yield page.get("items") or [], metadata.get("resourceVersion", "")
            token = metadata.get("continue", "")
            if not token:
                return

    async def create(self, path: str, body: KubernetesObject) -> KubernetesObject:
        """Create an object in the collection `path`. Raises Conflict when it exists."""
        return await self._request("POST", path, body=body)

    async def replace(self, path: str, body: KubernetesObject) -> KubernetesObject:
        """Replace an object; metadata.resourceVersion in the body is a precondition. Raises Conflict."""
        return await self._request("PUT", path, body=body)

    async def merge_patch(self, path: str, body: KubernetesObject) -> KubernetesObject:
        """Apply a JSON merge patch (RFC 7396)."""
        return await self._request("PATCH", path, body=body, content_type=MERGE_PATCH)

    async def apply(self, path: str, body: KubernetesObject, *, field_manager: str) -> KubernetesObject:
        """Server-side apply with force."""
        return await self._request("PATCH", path, body=body, content_type=APPLY, query={"fieldManager": field_manager, "force": "true"})

    async def delete(self, path: str, *, uid: str | None = None, version: str | None = None) -> None:
        """Delete an object, if it still is the one with this uid and resourceVersion. Raises NotFound, Conflict."""
        preconditions = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value}
        await self._request("DELETE", path, body={"preconditions": preconditions} if preconditions else None)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: KubernetesObject | None = None,
        query: Mapping[str, str] | None = None,
        content_type: str = JSON,
    ) -> KubernetesObject:
        headers = {"Content-Type": content_type, "Accept": JSON, "User-Agent": "junctor"}
        await self._client.update_params_for_auth(headers, None, ["BearerToken"], path, method, body)
        url = self.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=self._timeout)
            data = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(0, f"API server not reached: {type(error).__name__}: {error}") from error
        if response.status < 400:
            return _object(data)
        raise _error(response.status, data, response.getheader("Retry-After"))


def _object(data: bytes) -> KubernetesObject:
    """The answer; something between here and the API server may have answered instead of it."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unavailable(0, f"the API server's answer is not JSON: {data[:100]!r}") from error
    if not isinstance(value, dict):
        raise Unavailable(0, f"the API server's answer is not an object: {data[:100]!r}")
    return value


def _error(status: int, data: bytes, retry_after: str | None) -> KubernetesError:
    try:
        body = json.loads(data)
        message, reason = str(body.get("message", "")), str(body.get("reason", ""))
    except (ValueError, AttributeError):
        message, reason = data[:200].decode(errors="replace"), ""
    kind: type[KubernetesError] = Refused
    if status == 404:
        kind = NotFound
    elif status == 409:
        kind = Conflict
    elif status == 429 or status >= 500:
        kind = Unavailable
    return kind(status, f"{status}: {message}", reason, retry_after_seconds(retry_after, datetime.now(UTC)))


def object_path(plural: str, namespace: str | None = None, name: str | None = None, *, group: str = "", version: str = "v1") -> str:
    """The path of a collection or an object; every part is escaped."""
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    if namespace:
        path += f"/namespaces/{quote(namespace, safe='')}"
    path += f"/{plural}"
    return f"{path}/{quote(name, safe='')}" if name else path
