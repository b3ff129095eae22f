"""Whatever happens to a registry and on the way to it: in the end exactly its servers are published, and no failure takes one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from unittest.mock import patch

from hypothesis import example, given, settings
from hypothesis import strategies as st

from junctor.api.sync_report import Discovered
from junctor.connectormap.head import RegistryRecord
from junctor.registry import shrink
from junctor.registry import sync as engine
from junctor.registry.client import RegistryClient
from junctor.registry.versions import order_key
from tests.support.entries import content_of
from tests.support.fake_registry import Asked, Cursor, Cut, Fault, Status
from tests.support.registry_data import Row, record, remote
from tests.unit.registry.building import credentials, secret
from tests.unit.registry.syncing import Syncing

NAMES: Final = tuple(f"io.acme/{letter}" for letter in "abcdefg")
VERSIONS: Final = ("0.9.0", "1.0.0", "1.1.0-rc.1", "1.1.0")
FAULTS: Final[Mapping[str, Fault]] = {
    "refused": Status(400),
    "down": Status(503),
    "garbage": Status(200, b'{"servers":['),
    "cut": Cut(20),
    "loop": Cursor(f"{NAMES[0]}:0.0.0"),
    "end": Status(200, b'{"servers":[{"name":"no slash"}],"metadata":{}}'),
}
KINDS: Final[Mapping[str, Any]] = {
    "usable": [remote("https://a.acme.com/mcp")],
    "elsewhere": [remote("https://b.acme.com/mcp")],
    "moved": [remote("https://evil.org/mcp")],
    "without": None,
}


@dataclass(frozen=True)
class Edit:
    """status "": as it was."""

    name: str
    version: str
    kind: str = "usable"
    status: str = "active"


@dataclass(frozen=True)
class Sync:
    """fault: of the request of that number. edit: while the sync runs, at the request of that number."""

    full: bool
    at: int = 1
    fault: str = ""
    edit: Edit | None = None


@dataclass(frozen=True)
class Restart:
    """The operator starts again: what is published is its memory."""


@dataclass
class Registry:
    """versions: kind, status and time of change, by name and version. behind: what was read may be older than the registry.

    ended_early: a page said that it was the last one and was not. Nobody can notice that; the next full sync finds the rest.
    """

    syncing: Syncing
    behind: bool = False
    ended_early: bool = False
    versions: dict[tuple[str, str], tuple[str, str, float]] = field(default_factory=dict)

    def edit(self, edit: Edit) -> None:
        self.versions[edit.name, edit.version] = edit.kind, edit.status, self.syncing.now.timestamp()
        self.syncing.rows = [self._row(name, version) for name, version in self.versions]

    def _row(self, name: str, version: str) -> Row:
        kind, status, updated = self.versions[name, version]
        others = [known for of, known in self.versions if of == name]
        # As the official registry: the newest that is not deleted is the latest.
        left = [known for known in others if self.versions[name, known][1] != "deleted"] or others
        latest = version == max(left, key=lambda known: order_key(known, 0.0))
        return record(name, version, remotes=KINDS[kind], status=status, updated=updated, latest=latest)


edits = st.builds(
    Edit,
    st.sampled_from(NAMES),
    st.sampled_from(VERSIONS),
    st.sampled_from(tuple(KINDS)),
    st.sampled_from(("active", "active", "deprecated", "deleted")),
)
syncs = st.builds(Sync, st.booleans(), st.integers(1, 5), st.sampled_from(("", "", *FAULTS)), st.none() | edits)
steps = st.lists(st.one_of(edits, edits, syncs, syncs, st.integers(1, 40), st.just(Restart())), min_size=3, max_size=25)


@settings(max_examples=120)
@given(
    steps=steps,
    latest=st.booleans(),
    updated_since=st.sampled_from(("honoured", "honoured", "ignored", "refused")),
    most=st.sampled_from((3, 100)),
)
@example(
    steps=[Sync(full=False, at=1, fault="end", edit=None), *[Sync(full=False, at=1, fault="", edit=None)] * 2],
    latest=False,
    updated_since="honoured",
    most=3,
)
@example(
    steps=[Edit("io.acme/e", "0.9.0"), Sync(full=True), Edit("io.acme/b", "1.0.0", status="deleted"), Sync(full=False)],
    latest=False,
    updated_since="honoured",
    most=3,
)
def test_the_end_is_what_a_new_scan_finds_and_no_failure_takes_a_server(
    steps: list[Any], latest: bool, updated_since: str, most: int
) -> None:
    spec: dict[str, Any] = {
        "filter": {"maxConnectors": most},
        "credentials": [credentials(secret("token"), servers=["*/a", "*/b"], hosts=["*.acme.com"])],
    }
    # Few servers are many here.
    with patch.object(shrink, "AT_LEAST", 3), Syncing(page_size=2, **spec) as syncing:
        syncing.manner.latest = latest
        syncing.manner.updated_since = updated_since
        asyncio.run(_run(Registry(syncing), steps, spec))


async def _run(registry: Registry, steps: list[Any], spec: dict[str, Any]) -> None:
    syncing = registry.syncing
    for name in NAMES:
        registry.edit(Edit(name, "1.0.0"))
    async with RegistryClient(syncing.url, page_size=2, retries=0) as client:
        for step in steps:
            match step:
                case Edit():
                    registry.edit(step)
                case int(minutes):
                    syncing.later(minutes=minutes)
                case Restart() if syncing.sync.discovered:
                    memory = syncing.sync.discovered
                    head = RegistryRecord("internal", watermark=memory.watermark, filter_digest=memory.digest)
                    syncing.new_sync(Discovered.recalled(head, memory.entries), **spec)
                case Sync():
                    await _sync(registry, client, step, spec)
        for _ in range(shrink.FULL_SYNCS + 1):  # the first one may go on with a part
            result = await syncing.sync.full(client)
        assert result.finding.status == "True"
        assert _callable(syncing.sync) == await _wanted(syncing, client, spec)


async def _sync(registry: Registry, client: RegistryClient, step: Sync, spec: dict[str, Any]) -> None:
    syncing, first = registry.syncing, len(registry.syncing.requests)

    def disturbed(asked: Asked) -> Fault | None:
        if asked.number != first + step.at:
            return None
        if step.edit:
            registry.edit(step.edit)
        return FAULTS.get(step.fault)

    syncing.fault = disturbed
    before = set(syncing.entries)
    result = await (syncing.sync.full(client) if step.full else syncing.sync.incremental(client))
    syncing.fault = lambda _: None
    assert result.discovered is syncing.sync.discovered
    if result.finding.status == "False":
        assert before <= set(syncing.entries)
    if result.complete and result.full:
        registry.ended_early = False
    registry.ended_early = registry.ended_early or step.fault == "end"
    if result.finding.status != "False" and not (
        result.full_sync_next or registry.behind or registry.ended_early or step.edit or step.fault
    ):
        assert _callable(syncing.sync) == await _wanted(syncing, client, spec)
    # A scan that goes on does not look back; the sync after it does.
    registry.behind = not result.complete or bool(step.edit or step.fault)


async def _wanted(syncing: Syncing, client: RegistryClient, spec: dict[str, Any]) -> Mapping[str, Any]:
    """What a sync without a past finds."""
    used, fresh = syncing.sync, syncing.new_sync(**spec)
    syncing.sync = used
    assert (await fresh.full(client)).complete
    return _callable(fresh)


def _callable(sync: engine.RegistrySync) -> Mapping[str, Any]:
    entries = sync.discovered.entries if sync.discovered else {}
    return {key: content_of(entry) for key, entry in entries.items() if entry.available}
