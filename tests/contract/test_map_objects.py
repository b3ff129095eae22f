"""What the loop may rely on in whatever stores a connector map: the same for memory and for a Kubernetes API server."""

from collections.abc import AsyncIterator

import pytest

from junctor.connectormap.credentials import credential_version, reference_hash
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.reconcile.ports import Conflict, MapObjects, StoredObject
from tests.contract.factories import FACTORIES, Factory


@pytest.fixture(params=FACTORIES, ids=lambda factory: factory.__name__)
async def objects(request: pytest.FixtureRequest) -> AsyncIterator[MapObjects]:
    factory: Factory = request.param
    async with factory(request) as made:
        await made.installation("")
        yield made


async def credential(objects: MapObjects, value: bytes, key: str = "token") -> str:
    version = credential_version(await objects.installation_key(), value)
    return f"{reference_hash('team-a', 'secret', key)}.{version}"


async def test_installation_and_its_key_stay(objects: MapObjects) -> None:
    assert await objects.installation("") == await objects.installation("")
    assert await objects.installation_key() == await objects.installation_key()
    assert len(await objects.installation_key()) >= 32


async def test_there_is_no_head_until_one_is_written(objects: MapObjects) -> None:
    assert await objects.read_head() is None


async def test_written_head_is_read_and_owned(objects: MapObjects) -> None:
    written = await objects.write_head("one", None)
    read = await objects.read_head()
    assert read == written
    assert read is not None
    assert read.data[HEAD_KEY] == "one"
    assert read.owned


async def test_replaced_head_has_a_higher_version_and_the_same_uid(objects: MapObjects) -> None:
    first = await objects.write_head("one", None)
    second = await objects.write_head("two", first)
    assert int(second.version) > int(first.version)
    assert second.uid == first.uid


async def test_head_is_not_written_over_one_that_somebody_else_wrote(objects: MapObjects) -> None:
    first = await objects.write_head("one", None)
    await objects.write_head("two", first)
    with pytest.raises(Conflict):
        await objects.write_head("three", first)
    with pytest.raises(Conflict):
        await objects.write_head("three", None)
    head = await objects.read_head()
    assert head is not None
    assert head.data[HEAD_KEY] == "two"


async def test_head_that_is_expected_and_gone_is_a_conflict(objects: MapObjects) -> None:
    with pytest.raises(Conflict):
        await objects.write_head("one", StoredObject("junctor-connectors", "0a0a0a0a-0000-0000-0000-000000000000", "1", True))


async def test_shard_is_created_listed_and_deleted(objects: MapObjects) -> None:
    shard = await objects.create_shard("junctor-connectors-0-abc", "[\n]")
    assert shard.data[SHARD_KEY] == "[\n]"
    assert [found.name for found in await objects.list_shards()] == ["junctor-connectors-0-abc"]
    await objects.delete_shard(shard)
    assert not await objects.list_shards()


async def test_head_is_no_shard(objects: MapObjects) -> None:
    await objects.write_head("one", None)
    assert not await objects.list_shards()


async def test_shard_is_created_once_and_never_overwritten(objects: MapObjects) -> None:
    first = await objects.create_shard("junctor-connectors-0-abc", "[\n]")
    assert (await objects.create_shard("junctor-connectors-0-abc", "[\n]")).uid == first.uid
    with pytest.raises(Conflict):
        await objects.create_shard("junctor-connectors-0-abc", "other")


async def test_shard_that_was_replaced_or_is_gone_is_left_alone(objects: MapObjects) -> None:
    first = await objects.create_shard("junctor-connectors-0-abc", "[\n]")
    await objects.delete_shard(first)
    await objects.delete_shard(first)
    second = await objects.create_shard("junctor-connectors-0-abc", "[\n]")
    await objects.delete_shard(first)
    assert [found.uid for found in await objects.list_shards()] == [second.uid]


async def test_added_credentials_are_listed_with_those_that_were_there(objects: MapObjects) -> None:
    one, two = await credential(objects, b"one"), await credential(objects, b"two")
    await objects.add_credentials(3, {one: b"one"})
    added = await objects.add_credentials(3, {two: b"two"})
    (listed,) = await objects.list_credentials()
    assert (listed.number, listed.uid, listed.version) == (3, added.uid, added.version)
    assert listed.all_keys == listed.intact == {one, two}


async def test_credential_whose_value_is_not_of_its_version_is_not_intact(objects: MapObjects) -> None:
    key = await credential(objects, b"one")
    stored = await objects.add_credentials(0, {key: b"another"})
    assert stored.intact == frozenset()
    assert stored.all_keys == {key}


async def test_removed_credentials_leave_the_others(objects: MapObjects) -> None:
    one, two = await credential(objects, b"one"), await credential(objects, b"two")
    stored = await objects.add_credentials(0, {one: b"one", two: b"two"})
    left = await objects.remove_credentials(stored, frozenset({one}))
    assert left is not None
    assert left.all_keys == {two}
    assert await objects.remove_credentials(left, frozenset({two})) is None
    assert not await objects.list_credentials()


async def test_credentials_that_changed_since_they_were_read_are_not_removed(objects: MapObjects) -> None:
    one, two = await credential(objects, b"one"), await credential(objects, b"two")
    before = await objects.add_credentials(0, {one: b"one"})
    await objects.add_credentials(0, {two: b"two"})
    with pytest.raises(Conflict):
        await objects.remove_credentials(before, frozenset({one}))
    (listed,) = await objects.list_credentials()
    assert listed.all_keys == {one, two}
