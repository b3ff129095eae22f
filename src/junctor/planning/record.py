"""Step 6, record: what the head of the map stores about each registry, so that a restarted operator continues its syncs."""

from collections.abc import Mapping
from typing import Any

from junctor.connectormap.entry import Entry
from junctor.connectormap.ids import registry_id_of_entry
from junctor.planning.inputs import Inputs, Origin, Published


def record(
    discovered: Mapping[str, Mapping[str, Entry]], origins: Mapping[str, Origin], inputs: Inputs, published: Published
) -> tuple[Mapping[str, Any], ...]:
    """The records of all registries in the plan, in the order of their ids.

    Args:
        discovered: The planned servers of each registry, by the id of the registry's entry.
        origins: The resources of the planned entries, by id.
        inputs: The reports of syncs.
        published: The records that the head has now.
    """
    return tuple(_record(entry_id, origins[entry_id].uid, len(discovered[entry_id]), inputs, published) for entry_id in sorted(discovered))


def _record(entry_id: str, uid: str, connectors: int, inputs: Inputs, published: Published) -> dict[str, Any]:
    report = inputs.syncs.get(uid)
    servers = report.discovered if report else None
    fields = {"id": registry_id_of_entry(entry_id), "uid": uid, "connectors": connectors}
    if servers is not None:
        return fields | {"watermark": servers.watermark, "filterDigest": servers.digest}
    before = published.records.get(entry_id, {})
    return {**before, **fields} if before.get("uid") == uid else fields
