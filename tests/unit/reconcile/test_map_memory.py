"""What a process knows of the published map: what it recalls at its start, adopts from another replica, and refuses to believe."""

from dataclasses import replace

import pytest

from junctor.connectormap.head import HEAD_KEY, Head, RegistryRecord, ReleasedId, ShardRef
from junctor.reconcile.map_memory import MapMemory
from junctor.reconcile.ports import Signature, StoredObject, Unavailable
from tests.unit.planning.building import gateway
from tests.unit.reconcile.fakes import INSTALLATION, MAP

EMPTY = replace(MapMemory.empty(gateway()), installation=INSTALLATION)
#: The head of an empty map.
HEAD = EMPTY.head_of(3, EMPTY.content, ())
LOST_SHARD = ShardRef(f"{MAP}-0-000000000000", "sha256:0", 1)


def stored(text: str, *, owned: bool = True) -> StoredObject:
    return StoredObject(MAP, "uid-head", "1", owned, {HEAD_KEY: text})


@pytest.fixture
def memory() -> MapMemory:
    """The memory of a process that found HEAD at its start."""
    return EMPTY.informed_by(stored(HEAD.to_text()), ())


def test_head_found_at_the_start_is_the_memory(memory: MapMemory) -> None:
    assert (memory.head, memory.sequence, memory.sequence_at_start) == (HEAD, 3, 3)
    assert memory.head_matches_content
    assert not memory.history_incomplete


def test_no_head_at_the_start_leaves_the_memory_empty() -> None:
    assert EMPTY.informed_by(None, ()) is EMPTY
    assert (EMPTY.sequence, EMPTY.shard_names) == (0, frozenset())


def test_unreadable_head_at_the_start_leaves_the_history_incomplete() -> None:
    memory = EMPTY.informed_by(stored("not JSON"), ())
    assert memory.head is None
    assert memory.history_incomplete


def test_lost_shard_at_the_start_leaves_the_history_incomplete() -> None:
    memory = EMPTY.informed_by(stored(replace(HEAD, connectors=1, shards=(LOST_SHARD,)).to_text()), ())
    assert memory.sequence == 3
    assert memory.history_incomplete
    assert not memory.head_matches_content


def test_epoch_found_at_the_start_is_kept() -> None:
    assert EMPTY.informed_by(stored(replace(HEAD, epoch=7).to_text()), ()).epoch == 7


def test_newer_head_of_another_replica_is_adopted(memory: MapMemory) -> None:
    newer = replace(HEAD, sequence=5)
    adopted = memory.informed_by(stored(newer.to_text()), ())
    assert (adopted.head, adopted.sequence_at_start) == (newer, 5)


@pytest.mark.parametrize(
    "head",
    [
        replace(HEAD, sequence=2),
        replace(HEAD, sequence=5, epoch=2),
        replace(HEAD, sequence=5, revision="sha256:0"),
        replace(HEAD, sequence=5, connectors=1, shards=(LOST_SHARD,)),
        replace(HEAD, sequence=5, installation="somebody else"),
    ],
    ids=["older", "of another epoch", "with a wrong revision", "without its shard", "of another installation"],
)
def test_head_that_is_not_adopted_changes_nothing(memory: MapMemory, head: Head) -> None:
    looked_at = memory.informed_by(stored(head.to_text()), ())
    assert looked_at is memory
    assert (looked_at.sequence, looked_at.sequence_at_start) == (3, 3)


FORGED, UNSIGNED = Signature.INVALID, Signature.UNKNOWN


@pytest.mark.parametrize(("signature", "sequence"), [(Signature.VALID, 3), (UNSIGNED, 3), (FORGED, 0)])
def test_head_that_somebody_else_signed_is_not_recalled(signature: Signature, sequence: int) -> None:
    memory = EMPTY.informed_by(replace(stored(replace(HEAD, epoch=9).to_text()), signature=signature), ())
    assert memory.sequence == sequence
    assert memory.epoch == (1 if signature is FORGED else 9)
    assert memory.history_incomplete is (signature is FORGED)


@pytest.mark.parametrize("signature", [UNSIGNED, FORGED])
def test_head_without_our_signature_is_never_adopted_nor_taken_for_the_published_one(memory: MapMemory, signature: Signature) -> None:
    newer = replace(stored(replace(HEAD, sequence=5).to_text()), signature=signature)
    assert memory.informed_by(newer, ()) is memory
    assert memory.is_stored(stored(HEAD.to_text()))
    assert not memory.is_stored(replace(stored(HEAD.to_text()), signature=signature))


def test_released_ids_outlive_the_process() -> None:
    released = (ReleasedId("connector_github", "platform", 1_800_000_000), ReleasedId("mcp::internal", "platform", 1_800_000_001))
    memory = EMPTY.informed_by(stored(replace(HEAD, released=released).to_text()), ())
    assert memory.content.published.released == {item.id: item for item in released}
    assert memory.head_matches_content


def test_unreadable_head_is_not_adopted(memory: MapMemory) -> None:
    assert memory.informed_by(stored("not JSON"), ()) is memory


@pytest.mark.parametrize(
    ("text", "owned", "is_ours"),
    [
        (HEAD.to_text(), False, True),
        (replace(HEAD, installation="somebody else").to_text(), True, False),
        ("not JSON", True, True),
        ("not JSON", False, False),
    ],
    ids=["our installation", "another installation", "unreadable and owned", "unreadable and not owned"],
)
def test_head_belongs_to_the_installation_that_it_names_or_else_to_its_owner(text: str, owned: bool, is_ours: bool) -> None:
    assert EMPTY.owns(stored(text, owned=owned)) is is_ours


@pytest.mark.parametrize(
    ("memory", "unlisted", "floor", "is_refused"),
    [
        (EMPTY, (), 9, False),
        (EMPTY, ("MCPConnector",), 0, False),
        (EMPTY, ("MCPConnector",), 1, True),
        (replace(EMPTY, head=HEAD), ("MCPConnector", "MCPRegistry"), 1, False),
        (replace(EMPTY, head=HEAD, history_incomplete=True), ("MCPConnector",), 0, True),
        (replace(EMPTY, head=HEAD, history_incomplete=True), ("MCPRegistry",), 0, False),
        (replace(EMPTY, head=replace(HEAD, registries=(RegistryRecord("internal"),)), history_incomplete=True), ("MCPRegistry",), 0, True),
    ],
    ids=[
        *("all listed", "first start", "head lost while pods serve", "map known", "map damaged", "damaged without registries"),
        "damaged with registries",
    ],
)
def test_publishing_is_refused_when_neither_resources_nor_map_are_known(
    memory: MapMemory, unlisted: tuple[str, ...], floor: int, is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(Unavailable, match="damaged"):
            memory.refuse_blind_publish(frozenset(unlisted), floor)
    else:
        memory.refuse_blind_publish(frozenset(unlisted), floor)
