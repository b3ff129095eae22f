"""What the registry client relies on, on the official registry server and on the fake of other tests; both hold to what is published."""

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Protocol
from uuid import uuid4

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]  # has no types

from junctor.registry.client import RegistryClient
from junctor.registry.errors import NotARegistry, QueryRefused
from tests.support.fake_registry import FakeRegistry
from tests.support.registry_data import OFFICIAL, record, remote, servers
from tests.support.registry_server import ANONYMOUS, RegistryServer, openapi, server, server_schema


class Peer(Protocol):
    """A registry in which tests publish."""

    url: str

    def publish(self, name: str, version: str) -> None:
        """Add a version, newer than the others of its server."""

    def set_status(self, name: str, version: str, status: str) -> None:
        """Make a version active, deprecated or deleted."""


class _Official:
    def __init__(self, registry: RegistryServer) -> None:
        self.url = registry.url
        self._registry = registry
        self.set_status = registry.set_status

    def publish(self, name: str, version: str) -> None:
        self._registry.publish(server(name, version, remotes=[remote(_address(name))]))


class _Fake:
    def __init__(self, registry: FakeRegistry) -> None:
        self.url = registry.url
        self._registry = registry

    def publish(self, name: str, version: str) -> None:
        self._registry.publish(record(name, version, remotes=[remote(_address(name))], updated=time.time()))

    def set_status(self, name: str, version: str, status: str) -> None:
        self._registry.set_status(name, status, version=version, updated=time.time())


def _address(name: str) -> str:
    return f"https://{name.replace('/', '.').replace('_', '-').lower()}.example.com/mcp"


@pytest.fixture(params=["official", "fake"])
def peer(request: pytest.FixtureRequest) -> Iterator[Peer]:
    if request.param == "official":
        yield _Official(request.getfixturevalue("registry_server"))
    else:
        with FakeRegistry() as fake:
            yield _Fake(fake)


@pytest.fixture
def word() -> str:
    """Part of the names of one test's servers, by which it finds them."""
    return f"T{uuid4().hex[:12]}"


@cache
def _validator(component: str) -> Draft202012Validator:
    document = yaml.safe_load(openapi().read_text())
    return Draft202012Validator({"$ref": f"#/components/schemas/{component}", "components": document["components"]})


@cache
def _server_validator() -> Draft7Validator:
    return Draft7Validator(server_schema())


def _assert_published_shape(value: Any) -> None:
    _validator("ServerResponse").validate(value)
    _server_validator().validate(value["server"])


def _versions(values: Any) -> list[tuple[str, str]]:
    return sorted((value["server"]["version"], value["_meta"][OFFICIAL]["status"]) for value in values)


def _official(value: Mapping[str, Any]) -> Any:
    return value["_meta"][OFFICIAL]


async def test_pages_lead_to_every_server_once(peer: Peer, word: str) -> None:
    names = [f"{ANONYMOUS}/{word}-{number}" for number in range(5)]
    for name in names:
        peer.publish(name, "1.0.0")
    found, cursors = [], []
    async with RegistryClient(peer.url, page_size=2) as client:
        page = await client.page(search=word)
        while True:
            assert len(page.records) <= 2
            assert page.date is not None
            assert abs(page.date - datetime.now(UTC)) < timedelta(minutes=5)
            for value in page.records:
                _assert_published_shape(value)
            found += [value["server"]["name"] for value in page.records]
            if page.next_cursor is None:
                break
            cursors.append(page.next_cursor)
            page = await client.page(page.next_cursor, search=word)
    assert found == names
    assert len(cursors) == 2


async def test_a_list_holds_to_the_published_description(peer: Peer, word: str) -> None:
    peer.publish(f"{ANONYMOUS}/{word}", "1.0.0")
    async with RegistryClient(peer.url, page_size=1) as client:
        answer, body, _ = await client._json(f"{peer.url}/v0.1/servers?limit=1&search={word}")
    assert answer.kind == "application/json"
    _validator("ServerList").validate(body)


async def test_a_list_has_the_latest_versions_or_all(peer: Peer, word: str) -> None:
    name = f"{ANONYMOUS}/{word}"
    for version in ("1.0.0", "1.1.0"):
        peer.publish(name, version)
    async with RegistryClient(peer.url) as client:
        latest = (await client.page(search=word)).records
        every = (await client.page(search=word, latest=False)).records
        assert _versions(latest) == [("1.1.0", "active")]
        assert _versions(every) == _versions(await client.versions(name)) == [("1.0.0", "active"), ("1.1.0", "active")]
        assert [_official(value)["isLatest"] for value in every] == [False, True]
        assert (await client.server(name))["server"]["version"] == "1.1.0"
        old = await client.server(name, "1.0.0")
    _assert_published_shape(old)
    assert old["server"]["version"] == "1.0.0"


async def test_updated_since_asks_for_what_is_newer(peer: Peer, word: str) -> None:
    async with RegistryClient(peer.url) as client:
        peer.publish(f"{ANONYMOUS}/{word}-a", "1.0.0")
        before = _official((await client.page(search=word)).records[0])["updatedAt"]
        peer.publish(f"{ANONYMOUS}/{word}-b", "1.0.0")
        page = await client.page(updated_since=before, search=word)
        assert [value["server"]["name"] for value in page.records] == [f"{ANONYMOUS}/{word}-b"]
        with pytest.raises(QueryRefused) as refused:
            await client.page(updated_since="yesterday")
        assert "updated_since" in refused.value.excerpt


async def test_search_ignores_case(peer: Peer, word: str) -> None:
    peer.publish(f"{ANONYMOUS}/{word}", "1.0.0")
    async with RegistryClient(peer.url) as client:
        assert len((await client.page(search=word.swapcase())).records) == 1
        assert len((await client.page(search=f"{word}x")).records) == 0


@pytest.mark.parametrize("text", ["", "t", " t ", "an"])
async def test_a_text_too_short_to_search_for_gives_the_whole_list(peer: Peer, word: str, text: str) -> None:
    peer.publish(f"{ANONYMOUS}/{word}", "1.0.0")
    async with RegistryClient(peer.url) as client:
        assert (await client.page(search=text)).records == (await client.page()).records


async def test_a_deleted_latest_version_shows_only_among_changes_of_all_versions(peer: Peer, word: str) -> None:
    name = f"{ANONYMOUS}/{word}"
    peer.publish(name, "1.0.0")
    peer.publish(name, "1.1.0")
    async with RegistryClient(peer.url) as client:
        before = _official(await client.server(name))["updatedAt"]
        peer.set_status(name, "1.1.0", "deleted")
        assert _versions((await client.page(search=word)).records) == [("1.0.0", "active")]
        assert _versions(await client.versions(name)) == [("1.0.0", "active")]
        assert (await client.server(name))["server"]["version"] == "1.0.0"
        changes = await client.page(updated_since=before, search=word, latest=False)
        assert _versions(changes.records) == [("1.1.0", "deleted")]
        assert (await client.page(updated_since=before, search=word)).records == []


async def test_a_server_without_a_version_left_is_unknown(peer: Peer, word: str) -> None:
    name = f"{ANONYMOUS}/{word}"
    peer.publish(name, "1.0.0")
    async with RegistryClient(peer.url) as client:
        before = _official(await client.server(name))["updatedAt"]
        peer.set_status(name, "1.0.0", "deleted")
        assert (await client.page(search=word)).records == []
        assert list(await client.versions(name)) == []
        assert await client.server(name) is None
        assert _versions((await client.page(updated_since=before, search=word)).records) == [("1.0.0", "deleted")]


async def test_a_deprecated_server_stays_in_the_list(peer: Peer, word: str) -> None:
    name = f"{ANONYMOUS}/{word}"
    peer.publish(name, "1.0.0")
    peer.set_status(name, "1.0.0", "deprecated")
    async with RegistryClient(peer.url) as client:
        assert _versions((await client.page(search=word)).records) == [("1.0.0", "deprecated")]


@pytest.mark.parametrize(("suffix", "version"), [("plain", "1.0.0"), ("Mixed.Case_x-Y", "2.0.0+build.7"), ("v", "2026.05.17")])
async def test_any_name_and_version_can_be_asked_for(peer: Peer, word: str, suffix: str, version: str) -> None:
    name = f"{ANONYMOUS}/{word}{suffix}"
    peer.publish(name, version)
    async with RegistryClient(peer.url) as client:
        assert (await client.server(name, version))["server"]["name"] == name
        assert _versions(await client.versions(name)) == [(version, "active")]


async def test_an_unknown_server_has_no_versions(peer: Peer) -> None:
    async with RegistryClient(peer.url) as client:
        assert list(await client.versions("io.github.nobody/nothing")) == []
        assert await client.server("io.github.nobody/nothing") is None
        assert await client.server("io.github.nobody/nothing", "1.0.0") is None


@pytest.mark.parametrize("end", ["", "/", "/v0.1", "/v0.1/"])
async def test_the_base_url_may_end_with_the_version_of_the_api(peer: Peer, word: str, end: str) -> None:
    peer.publish(f"{ANONYMOUS}/{word}", "1.0.0")
    async with RegistryClient(peer.url + end) as client:
        assert len((await client.page(search=word)).records) == 1


async def test_another_path_is_no_registry(peer: Peer) -> None:
    async with RegistryClient(f"{peer.url}/elsewhere") as client:
        with pytest.raises(NotARegistry, match=r"/elsewhere/v0\.1/servers answers HTTP 404"):
            await client.page()


async def test_the_official_server_still_speaks_v0(registry_server: RegistryServer) -> None:
    async with RegistryClient(f"{registry_server.url}/v0") as client:
        assert (await client.page()).date is not None


def test_generated_servers_hold_to_the_published_schema() -> None:
    for row in servers(300):
        _assert_published_shape(row.value)
