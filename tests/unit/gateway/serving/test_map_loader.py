"""The loader: serves the newest acceptable map, keeps what it has otherwise, and lets signals coalesce."""

import asyncio
import logging
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.credentials import credential_object, credentials_in
from junctor.gateway.serving.map_loader import BURST, MapLoader, NotAccepted, NotReadable, TooManyReloads
from junctor.gateway.serving.served_map import ServedMap
from junctor.net.clock import Clock
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, head_of, layout_of, publish, steps

KEY = "3f7a000000000000.1b2c000000000000"
KEY_2 = "3f7a000000000000.9999000000000000"


class FakeTime(Clock):
    """A clock that moves only by sleeping, and sleepers that a test wakes. Pauses are not spread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.naps: asyncio.Queue[float] = asyncio.Queue()
        self.wake = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.naps.put_nowait(seconds)
        await self.wake.wait()
        self.wake.clear()
        self.seconds += seconds

    async def nap(self) -> float:
        """How long the loader sleeps, as soon as it does."""
        async with asyncio.timeout(5):
            return await self.naps.get()

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds

    def spread(self, seconds: float, share: float) -> float:
        return seconds


class GatedSource(MemorySource):
    """A source whose head answers only when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.asked = asyncio.Event()

    async def fetch_head(self) -> str | None:
        text = await super().fetch_head()
        self.asked.set()
        await self.gate.wait()
        return text


async def loaded(source: MemorySource, sequence: int = 1) -> MapLoader:
    loader = MapLoader(source, clock=FakeTime())
    await loader.reload(sequence)
    return loader


def serving(loader: MapLoader) -> ServedMap:
    served = loader.served()
    assert served is not None
    return served


async def test_a_reload_serves_the_published_map() -> None:
    source = MemorySource()
    publish(source, 41, content("a"), content("b"))
    loader = await loaded(source, 41)
    assert serving(loader).ids == ("a", "b")
    assert serving(loader).acknowledgement().to_json() == {
        "sequence": 41,
        "revision": head_of(layout_of(content("a"), content("b")), 41).revision,
        "appliedAt": "1970-01-01T00:00:00.000000Z",
        "rejected": [],
    }


async def test_a_sequence_that_is_served_costs_nothing() -> None:
    source = MemorySource()
    publish(source, 41, content("a"))
    loader = await loaded(source, 41)
    source.reads.clear()
    for _ in range(100):
        await loader.reload(40)
    assert source.reads == []


async def test_calls_during_a_load_share_one_load_that_starts_after_them() -> None:
    source = GatedSource()
    publish(source, 1)
    loader = MapLoader(source)
    first = asyncio.create_task(loader.reload(1))
    await source.asked.wait()
    publish(source, 2, content("a", title="new"))
    later = [asyncio.create_task(loader.reload(2)) for _ in range(20)]
    await asyncio.sleep(0)
    source.gate.set()
    assert (await first).sequence == 1
    assert {served.sequence for served in await asyncio.gather(*later)} == {2}
    assert source.reads.count(MAP) == 2


async def test_a_cancelled_call_does_not_answer_for_the_others() -> None:
    source = GatedSource()
    publish(source, 1, content("a"))
    loader = MapLoader(source)
    first = asyncio.create_task(loader.reload(1))
    await source.asked.wait()
    second = asyncio.create_task(loader.reload(1))
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert (await second).sequence == 1


async def test_the_map_of_a_request_outlives_the_swap() -> None:
    source = MemorySource()
    publish(source, 1, content("a"), content("b"))
    loader = await loaded(source)
    old = serving(loader)
    publish(source, 2, content("b"))
    await loader.reload(2)
    assert (old.ids, serving(loader).ids) == (("a", "b"), ("b",))
    assert old.get("a") is not None


async def test_an_older_head_than_asked_for_is_told() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    loader = await loaded(source)
    with pytest.raises(NotAccepted, match="sequence 1, which is older than 2"):
        await loader.reload(2)


async def test_a_deleted_head_keeps_the_map() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    loader = await loaded(source)
    source.config_maps.clear()
    with pytest.raises(NotAccepted, match="was deleted"):
        await loader.reload(2)
    assert serving(loader).ids == ("a",)


async def test_another_installations_head_is_refused_while_one_is_served() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    loader = await loaded(source)
    source.config_maps[MAP] = head_of(layout_of(content("b")), 9, "other").to_text()
    with pytest.raises(NotAccepted, match="belongs to installation other"):
        await loader.reload(9)
    assert serving(loader).sequence == 1


async def test_a_rolled_back_head_is_refused() -> None:
    source = MemorySource()
    publish(source, 5, content("a"))
    loader = await loaded(source, 5)
    publish(source, 4, content("b"))
    with pytest.raises(NotAccepted, match="sequence 4 is older than 5"):
        await loader.reload(6)
    assert serving(loader).ids == ("a",)


async def test_a_bad_map_keeps_the_old_one_and_the_next_good_one_heals() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    loader = await loaded(source)
    source.config_maps[MAP] = "{"
    with pytest.raises(NotAccepted, match="not a connector map head"):
        await loader.reload(2)
    assert loader.last_error is not None
    publish(source, 2, content("b"))
    await loader.reload(2)
    assert loader.last_error is None
    assert serving(loader).ids == ("b",)


async def test_an_unreadable_source_is_a_reason_to_try_again() -> None:
    source = MemorySource(away=True)
    with pytest.raises(NotReadable, match="away"):
        await MapLoader(source).reload(1)


async def test_whatever_a_source_raises_the_old_map_stays(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    loader = await loaded(source)

    async def broken() -> str | None:
        raise ZeroDivisionError

    monkeypatch.setattr(source, "fetch_head", broken)
    with pytest.raises(NotAccepted):
        await loader.reload(2)
    assert serving(loader).sequence == 1
    assert "failed unexpectedly" in caplog.text


async def test_signals_that_find_nothing_new_use_up_a_bucket_which_refills() -> None:
    source, time = MemorySource(), FakeTime()
    publish(source, 1, content("a"))
    loader = MapLoader(source, clock=time)
    await loader.reload(1)
    for _ in range(int(BURST)):
        with pytest.raises(NotAccepted):
            await loader.reload(99)
    with pytest.raises(TooManyReloads) as raised:
        await loader.reload(99)
    assert raised.value.retry_after == 1.0
    time.seconds += 1
    publish(source, 99, content("b"))
    assert (await loader.reload(99)).sequence == 99


async def test_signals_that_bring_something_never_meet_the_bucket() -> None:
    source = MemorySource()
    loader = MapLoader(source, clock=FakeTime())
    for sequence in range(1, 50):
        publish(source, sequence, content("a", title=str(sequence)))
        assert (await loader.reload(sequence)).sequence == sequence


# --- start and poll -------------------------------------------------------------------------------------------------------------------


async def test_it_retries_with_growing_pauses_until_a_map_is_there_and_polls_then() -> None:
    source, time = MemorySource(away=True), FakeTime()
    loader = MapLoader(source, poll_seconds=10, clock=time)
    task = asyncio.create_task(loader.run())
    naps = []
    for _ in range(8):
        naps.append(await time.nap())
        time.wake.set()
    assert naps == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert await time.nap() == 5.0
    source.away = False
    for sequence in (1, 2):
        publish(source, sequence, content("a"))
        time.wake.set()
        assert await time.nap() == 10
        assert serving(loader).sequence == sequence
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lasting_failure_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    source = MemorySource(away=True)
    loader = MapLoader(source, clock=FakeTime())
    for _ in range(3):
        with pytest.raises(NotReadable):
            await loader.reload(1)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


# --- credentials ----------------------------------------------------------------------------------------------------------------------


async def test_only_credential_objects_with_new_keys_are_read() -> None:
    source = MemorySource()
    publish(source, 1, content("a", auth=bearer(KEY)), content("b"), credentials={KEY: b"one"})
    loader = await loaded(source)
    assert [name for name in source.reads if name.startswith("cred")] == [f"credentials-{credential_object(KEY)}"]
    assert serving(loader).credentials == {KEY: b"one"}
    source.reads.clear()
    publish(source, 2, content("a", auth=bearer(KEY), title="new"))
    await loader.reload(2)
    assert not [name for name in source.reads if name.startswith("cred")]
    publish(source, 3, content("a", auth=bearer(KEY_2)), credentials={KEY_2: b"two"})
    await loader.reload(3)
    assert serving(loader).credentials == {KEY_2: b"two"}


async def test_a_missing_credential_makes_its_connector_unavailable_until_it_is_there() -> None:
    source = MemorySource()
    publish(source, 1, content("a", auth=bearer(KEY)), content("b"))
    loader = await loaded(source)
    served = serving(loader)
    a, b = served.get("a"), served.get("b")
    assert a is not None
    assert b is not None
    assert (served.unavailable(a), served.unavailable(b)) == ("CredentialMissing", "")
    assert [rejection.id for rejection in served.rejected] == ["a"]
    source.secrets[credential_object(KEY)] = {KEY: b"late"}
    with pytest.raises(NotAccepted):
        await loader.reload(2)
    assert serving(loader).unavailable(a) == ""
    assert serving(loader).rejected == ()


async def test_no_credential_value_shows_in_a_representation_or_a_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    source = MemorySource()
    publish(source, 1, content("a", auth=bearer(KEY)), credentials={KEY: b"hunter2"})
    loader = await loaded(source)
    assert "hunter2" not in repr(serving(loader)) + repr(serving(loader).get("a")) + caplog.text
    assert KEY not in repr(serving(loader))


async def test_a_credential_that_is_none_is_refused() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    layout = layout_of(content("a", auth=bearer("zz")), since=2)
    source.config_maps |= {shard.ref.name: shard.text for shard in layout.shards.values()}
    source.config_maps[MAP] = head_of(layout, 2).to_text()
    with pytest.raises(NotAccepted, match="names a credential that is none"):
        await MapLoader(source).reload(2)


keys = st.sampled_from([f"{first}f7a000000000000.{version}b2c000000000000" for first in "03f" for version in "12"])
entries = st.builds(
    lambda number, key, title: content(f"c{number}", title=title, **({"auth": bearer(key)} if key else {})),
    st.integers(0, 8), st.none() | keys, st.sampled_from(["x", "y"]),
)  # fmt: skip
maps = st.lists(entries, max_size=6, unique_by=lambda item: str(item["id"]))


@given(data=st.data(), before=maps, after=maps)
async def test_among_a_writers_steps_a_pod_serves_the_old_map_or_the_new_one_with_its_credentials(
    data: st.DataObject, before: list[dict[str, object]], after: list[dict[str, object]]
) -> None:
    def values(items: list[dict[str, object]]) -> dict[str, bytes]:
        return {key: key.encode() for item in items for key in credentials_in(item)}

    source = MemorySource()
    publish(source, 1, *before, credentials=values(before))
    loader = await loaded(source) if data.draw(st.booleans()) else MapLoader(source)
    writing = steps(source, layout_of(*after, since=2), 2, values(after))
    plain = source._read

    def read_between_steps(name: str) -> str | None:
        for _ in range(data.draw(st.integers(0, 4))):
            next(writing, None)
        return plain(name)

    source._read = read_between_steps  # type: ignore[method-assign]
    served = await loader.reload(1)
    wanted = before if served.sequence == 1 else after
    assert set(served.ids) == {item["id"] for item in wanted}
    assert served.credentials == values(wanted)
    assert served.rejected == ()
