"""Full LISTs into the snapshot, and whether a kind still exists (port `Cluster`)."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from junctor.api.configuration import OperatorConfiguration
from junctor.api.names import (
    CONNECTOR_KIND,
    CONNECTOR_PLURAL,
    CREDENTIALS_LABEL,
    CREDENTIALS_READABLE,
    GATEWAY_LABEL,
    GROUP,
    REGISTRY_KIND,
    REGISTRY_PLURAL,
    VERSION,
)
from junctor.kube.client import KubernetesApi, KubernetesError, NotFound, Unavailable, object_path
from junctor.operator.map_objects import port_errors
from junctor.reconcile.collection import Collection, Listing
from junctor.reconcile.snapshot import Snapshot

logger = logging.getLogger(__name__)

_FORBIDDEN: Final = 403
_PLURALS: Final = {CONNECTOR_KIND: CONNECTOR_PLURAL, REGISTRY_KIND: REGISTRY_PLURAL}


class KubernetesCluster:
    """Reads for one operator. namespaces: those whose connectors and Secrets count; empty means all."""

    def __init__(self, api: KubernetesApi, configuration: OperatorConfiguration, snapshot: Snapshot, namespaces: Sequence[str]) -> None:
        self._api = api
        self._configuration = configuration
        self._snapshot = snapshot
        self._namespaces: list[str | None] = list(namespaces) or [None]
        self._failures = 0
        self._registries_skipped = False

    async def refresh(self) -> bool:
        """LIST everything; a failure is logged (again only after a success or 20 attempts) and leaves that collection as it was."""
        snapshot = self._snapshot
        results = [await self._resources(kind) for kind in snapshot.kinds]
        secrets = [object_path("secrets", namespace) for namespace in self._namespaces]
        results.append(await self._list(snapshot.secrets, secrets, f"{CREDENTIALS_LABEL}={CREDENTIALS_READABLE}"))
        pods = sorted({object_path("pods", gateway.namespace) for gateway in self._configuration.gateways})
        results.append(await self._list(snapshot.pods, pods, GATEWAY_LABEL))
        if self._configuration.needs_namespaces:
            results.append(await self._list(snapshot.namespaces, [object_path("namespaces")]))
        self._failures = 0 if all(results) else self._failures + 1
        return all(results)

    def _log_failure(self, message: str, *arguments: object) -> None:
        logger.log(logging.ERROR if self._failures % 20 == 0 else logging.DEBUG, message, *arguments)

    async def _resources(self, kind: str) -> bool:
        paths = [object_path(_PLURALS[kind], namespace, group=GROUP, version=VERSION) for namespace in self._namespaces]
        try:
            listing, version = await self._read(self._snapshot.kinds[kind], paths, "")
            # A kind that is being removed still answers LISTs while its objects are deleted one by one. Its CRD is marked before that, so
            # whether this LIST can be believed is known by asking after it.
            if not await self._is_defined(kind):
                raise NotFound(404, f"the CRD of {kind} is being removed")
            if not listing.finish(version):
                raise _restored()
        except NotFound:
            self._snapshot.defined.discard(kind)
            if kind == REGISTRY_KIND:
                return self._skip_registries(f"the kind {kind} does not exist (CRD {_crd(kind)})")
            self._log_failure("the kind %s does not exist (CRD %s): what is published of it stays", kind, _crd(kind))
            return False
        except KubernetesError as error:
            if kind == REGISTRY_KIND and error.status == _FORBIDDEN and kind not in self._snapshot.defined:
                return self._skip_registries(f"a chart older than this operator does not permit it ({error})")
            self._log_failure("%s cannot be listed, their last known state stays: %s", _PLURALS[kind], error)
            return False
        self._snapshot.defined.add(kind)
        if kind == REGISTRY_KIND:
            self._registries_skipped = False
        return True

    def _skip_registries(self, why: str) -> bool:
        """Go on without MCPRegistry: it is optional, so its absence is no failure that retries would have to heal."""
        if not self._registries_skipped:
            logger.warning("registries are not read, what is published of them stays: %s", why)
        self._registries_skipped = True
        return True

    async def _list(self, collection: Collection[Any], paths: Sequence[str], label_selector: str = "") -> bool:
        try:
            listing, version = await self._read(collection, paths, label_selector)
            if not listing.finish(version):
                raise _restored()
        except KubernetesError as error:
            self._log_failure("%s cannot be listed, their last known state stays: %s", paths[0], error)
            return False
        return True

    async def _read(self, collection: Collection[Any], paths: Sequence[str], label_selector: str) -> tuple[Listing[Any], str]:
        listing = collection.listing()
        version = ""
        for path in paths:
            first = ""
            async for items, listed in self._api.list(path, label_selector=label_selector):
                first = first or listed
                listing.add(items)
            version = min(version or first, first, key=int)
        return listing, version

    @port_errors
    async def still_defined(self, kind: str) -> bool:
        """Ask for the CRD by name: it is marked before its objects are deleted."""
        return await self._is_defined(kind)

    async def _is_defined(self, kind: str) -> bool:
        try:
            crd = await self._api.get(object_path("customresourcedefinitions", name=_crd(kind), group="apiextensions.k8s.io"))
        except NotFound:
            return False
        return not crd["metadata"].get("deletionTimestamp")


def _crd(kind: str) -> str:
    return f"{_PLURALS[kind]}.{GROUP}"


def _restored() -> Unavailable:
    return Unavailable(0, "the API server's versions went back, as after a restore; listing again")
