"""Step 6, record: what the head of the map stores about each registry, so that a restarted operator continues its syncs."""

from collections.abc import Mapping
from dataclasses import replace

from junctor.connectormap.entry import Entry
from junctor.connectormap.head import RegistryRecord
from junctor.connectormap.ids import registry_id_of_entry
from junctor.planning.inputs import Inputs, Origin, Published


def record(
    discovered: Mapping[str, Mapping[str, Entry]], origins: Mapping[str, Origin], inputs: Inputs, published: Published
) -> tuple[RegistryRecord, ...]:
    """The records of all registries in the plan, in the order of their ids.

    Args:
        discovered: The planned servers of each registry, by the id of the registry's entry.
        origins: The resources of the planned entries, by id.
        inputs: The reports of syncs.
        published: The records that the head has now.
    """
    return tuple(_record(entry_id, origins[entry_id].uid, len(discovered[entry_id]), inputs, published) for entry_id in sorted(discovered))


def _record(entry_id: str, uid: str, connectors: int, inputs: Inputs, published: Published) -> RegistryRecord:
    report = inputs.syncs.get(uid)
    servers = report.discovered if report else None
    fresh = RegistryRecord(registry_id_of_entry(entry_id), uid, connectors)
    if servers is not None:
        return replace(fresh, watermark=servers.watermark, filter_digest=servers.digest)
    before = published.record_of(entry_id, uid)
    return replace(before, connectors=connectors) if before is not None else fresh
