"""The loader: serves the newest acceptable map, keeps what it has otherwise, and lets signals coalesce."""

import asyncio
import logging

import pytest

from junctor.gateway.serving.map_loader import BURST, MapLoader, NotAccepted, NotReadable, TooManyReloads
from tests.unit.gateway.maps import MAP, MemorySource, content, head_of, layout_of, publish
from tests.unit.gateway.serving.loading import FakeTime, loaded, serving


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
