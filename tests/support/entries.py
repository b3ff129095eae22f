"""Entries of the connector map, for tests that compare all of their fields."""

import json
from typing import Any

from junctor.connectormap.entry import Entry


def content_of(entry: Entry) -> dict[str, Any]:
    """The JSON of an entry as a shard contains it."""
    content: dict[str, Any] = json.loads(entry.line)
    return content
