"""The records that tests call good hold to the published schema of server.json; published examples are read."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator  # type: ignore[import-untyped]  # has no types

from junctor.registry.records import ServerRecord
from tests.cluster.tools import registry_source
from tests.support.registry_server import server_schema
from tests.unit.registry.test_hostile_records import GOOD


@pytest.mark.parametrize("record", GOOD, ids=["plain", "templates", "flat"])
def test_good_records_hold_to_the_schema(record: Any) -> None:
    Draft7Validator(server_schema()).validate(record.get("server", record))


def test_the_examples_of_the_documentation_are_read() -> None:
    records = [(example, ServerRecord.parse(example)) for example in _examples()]
    assert sum(len(record.remotes) for _, record in records) >= 5
    for example, record in records:
        assert [(remote.type, remote.url) for remote in record.remotes] == [
            (told["type"], told["url"]) for told in example.get("remotes", ())
        ]


def _examples() -> Iterator[dict[str, Any]]:
    """Whole examples of server.json, current ones."""
    for page in sorted((registry_source() / "docs").rglob("*.md*")):
        for block in re.findall(r"```json[^\n]*\n(.*?)```", page.read_text(), re.DOTALL):
            try:
                value = json.loads(block)
            except ValueError:
                continue  # with an ellipsis or a comment
            if isinstance(value, dict) and "2025-12-11" in value.get("$schema", "") and "name" in value:
                yield value
