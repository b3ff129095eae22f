"""Snapshots for tests, and what they hold."""

from typing import Any

from junctor.reconcile.collection import Collection
from junctor.reconcile.snapshot import Snapshot
from tests.unit.planning.building import KEY
from tests.unit.reconcile.bodies import configuration


def bodies() -> Collection[Any]:
    """A collection of the URLs of bodies; those that are marked as ignored do not count."""
    return Collection(lambda body, before: None if body["spec"].get("ignored") else body["spec"]["url"])


def snapshot(*gateways: dict[str, Any]) -> Snapshot:
    made = Snapshot(configuration(*gateways), KEY)
    made.defined.add("MCPConnector")
    return made


def listed(collection: Collection[Any], version: int, *items: dict[str, Any]) -> bool:
    listing = collection.listing()
    listing.add(items)
    return listing.finish(str(version))
