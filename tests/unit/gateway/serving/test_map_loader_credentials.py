"""The loader and credentials: read when they are new, shown nowhere, and never older than the map that needs them."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.credentials import credential_object, credentials_in
from junctor.gateway.serving.map_loader import MapLoader, NotAccepted
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, head_of, layout_of, publish, steps
from tests.unit.gateway.serving.loading import loaded, serving

KEY = "3f7a000000000000.1b2c000000000000"


KEY_2 = "3f7a000000000000.9999000000000000"


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
