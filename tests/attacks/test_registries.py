"""Hostile registries: the operator's memory stays bounded, and everybody else is served."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.api import wait_for
from tests.support.attacks import memory
from tests.support.hostile_registry import HostileRegistry, dense, endless, large, many
from tests.support.operator_part import OperatorPart

#: MiB: what is left of the chart's 512 for what a test does not think of.
_MOST = 400


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[OperatorPart]:
    with OperatorPart(tmp_path) as process:
        yield process


def test_hostile_registries_fill_neither_the_operator_nor_the_map(victim: OperatorPart) -> None:
    attacks = {"endless": endless(), "churning": endless(salted=True), "large": large(), "many": many(250_000), "dense": dense()}
    with ExitStack() as stack:
        registries = {name: stack.enter_context(HostileRegistry(pages)) for name, pages in attacks.items()}
        for name, registry in registries.items():
            victim.apply("MCPRegistry", name, url=registry.url, sync={"intervalSeconds": 10}, namespace=f"team-{name}")
        wait_for(
            lambda: all(victim.condition(name, "Synced").get("status") == "False" for name in registries),
            240,
            lambda: f"every sync has ended: {[victim.condition(name, 'Synced') for name in registries]} {victim.tail(20)}",
        )
        victim.apply("MCPConnector", "good", url="https://good.example.com/mcp", namespace="team-good")
        wait_for(lambda: victim.condition("good", "Programmed").get("status") == "True", describe="the good connector is in the map")
        wait_for(lambda: registries["churning"].syncs > 1, describe="the next syncs have begun")
    peak = memory(victim).peak
    assert peak <= _MOST, f"{peak} MiB"
