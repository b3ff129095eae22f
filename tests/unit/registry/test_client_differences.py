"""The registry client and registries that differ from the official one."""

import pytest

from junctor.registry.client import RegistryClient
from junctor.registry.errors import NotARegistry
from tests.support.fake_registry import Cursor, FakeRegistry, Manner, Status
from tests.support.registry_data import DIRTY
from tests.unit.registry.asking import LIST, NOW, ROWS, ask, times


@pytest.mark.parametrize("cursor_name", ["nextCursor", "next_cursor"])
async def test_both_spellings_of_the_cursor(cursor_name: str) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = Manner(cursor_name=cursor_name)
        async with RegistryClient(registry.url, page_size=2) as client:
            first = await client.page()
            second = await client.page(first.next_cursor)
    assert (len(first.records), len(second.records), second.next_cursor) == (2, 1, None)


@pytest.mark.parametrize("manner", [Manner(metadata=False), Manner(null=True), Manner(meta=False), Manner(encoding="gzip")])
async def test_a_list_may_leave_out_what_it_has_not(manner: Manner) -> None:
    with FakeRegistry(ROWS) as registry:
        registry.manner = manner
        page = await ask(registry.url)
        assert (len(page.records), page.next_cursor) == (3, None)
        if manner.metadata:
            registry.rows = []
            assert (await ask(registry.url)).records == []


async def test_an_empty_cursor_is_the_end() -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, b'{"servers":[],"metadata":{"nextCursor":""}}')
        assert (await ask(registry.url)).next_cursor is None


async def test_a_cursor_is_sent_back_as_it_came() -> None:
    cursor = "io.github.Acme/weather+x:1.0.0+build 7&version=0#ü%2F"
    with FakeRegistry(ROWS) as registry:
        registry.fault = times(1, Cursor(cursor))
        async with RegistryClient(registry.url) as client:
            await client.page((await client.page()).next_cursor)
        assert registry.requests[1].query["cursor"] == cursor
        assert registry.requests[1].query["version"] == "latest"


async def test_records_come_as_they_are_whatever_they_hold() -> None:
    with FakeRegistry(DIRTY.values()) as registry:
        page = await ask(registry.url)
    assert len(page.records) == len(DIRTY)


async def test_the_clock_of_the_registry_is_told() -> None:
    with FakeRegistry() as registry:
        registry.manner = Manner(date=NOW)
        assert (await ask(registry.url)).date == NOW
        registry.fault = lambda _: Status(200, LIST, headers={"date": "yesterday"})
        assert (await ask(registry.url)).date is None


async def test_a_proxy_that_does_not_let_names_through_is_not_an_unknown_server() -> None:
    with FakeRegistry(ROWS) as registry:
        registry.fault = lambda _: Status(404, b"<html>404 Not Found", "text/html")
        async with RegistryClient(registry.url) as client:
            with pytest.raises(NotARegistry, match="HTTP 404"):
                await client.versions(ROWS[0].name)
            with pytest.raises(NotARegistry, match="HTTP 404"):
                await client.server(ROWS[0].name)


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/v0.1/servers"),
        ("/", "/v0.1/servers"),
        ("/v0.1", "/v0.1/servers"),
        ("/v0", "/v0/servers"),
        ("/registry/team%20a", "/registry/team%20a/v0.1/servers"),
        ("/registry/v0.1/", "/registry/v0.1/servers"),
        ("/v0.10", "/v0.10/v0.1/servers"),
    ],
)
async def test_where_the_list_is(base: str, path: str) -> None:
    with FakeRegistry() as registry:
        registry.fault = lambda _: Status(200, LIST)
        await ask(registry.url + base)
        assert registry.requests[0].path == path


@pytest.mark.parametrize(
    "url",
    [
        "registry.example.com",
        "ftp://a.example.com",
        "https://",
        "https://u:p@a.example.com",
        "https://a.example.com?key=x",
        "http://a:99999",
    ],
)
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"registry|[Pp]ort") as caught:
        RegistryClient(url)
    assert "key=x" not in str(caught.value)
