"""Every map source shows a gateway the same: memory, YAML files, and ConfigMaps on a real API server read with `get` only."""

import base64
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
import yaml

from junctor.connectormap.credentials import credential_object
from junctor.connectormap.errors import MapUnreadable
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.connectormap.signature import SIGNATURE_KEY, SIGNING_KEY_FIELD, sign_head, signing_key_name
from junctor.gateway.serving.map_loader import MapLoader, NotAccepted, NotReadable
from junctor.gateway.serving.sources import BadSource, MapSource, SourceUnavailable
from junctor.gateway.serving.sources.file import FileSource
from junctor.gateway.serving.sources.opening import open_source
from tests.cluster.api import Api
from tests.cluster.controlplane import ControlPlane
from tests.support.ports import free_port
from tests.unit.gateway.maps import MAP, MemorySource, bearer, content, publish

KEY = "3f7a000000000000.1b2c000000000000"


class Store(Protocol):
    """Where a kind of source reads from."""

    def write(self, objects: MemorySource) -> None:
        """Make the store hold exactly these objects."""

    def source(self) -> MapSource: ...


class MemoryStore:
    def __init__(self) -> None:
        self._source = MemorySource()

    def write(self, objects: MemorySource) -> None:
        self._source.config_maps, self._source.secrets = dict(objects.config_maps), dict(objects.secrets)

    def source(self) -> MapSource:
        return self._source


def manifests(objects: MemorySource) -> list[dict[str, Any]]:
    """The objects as `junctor render` prints them."""
    found: list[dict[str, Any]] = []
    for name, text in objects.config_maps.items():
        key = HEAD_KEY if name == MAP else SHARD_KEY
        found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: text}})
    for number, values in objects.secrets.items():
        data = {key: base64.b64encode(value).decode() for key, value in values.items()}
        found.append({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{MAP}-credentials-{number}"}, "data": data})
    return found


class FileStore:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(MemorySource())

    def write(self, objects: MemorySource) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(yaml.safe_dump_all(manifests(objects), allow_unicode=True))
        os.replace(new, self.path)

    def source(self) -> MapSource:
        return FileSource(self.path)


class ConfigMapStore:
    """A namespace of a real API server; the source reads it as a service account that may `get` what it needs and nothing else."""

    def __init__(self, control_plane: ControlPlane, api: Api, namespace: str) -> None:
        self._api, self.namespace = api, namespace
        names = [*(f"{MAP}-credentials-{n}" for n in range(16)), signing_key_name(MAP)]
        rules = [
            {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": names},
        ]
        rbac = "rbac.authorization.k8s.io"
        subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
        role = {"apiGroup": rbac, "kind": "Role", "name": "gateway"}
        api.create({"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": {"name": "gateway"}, "rules": rules}, namespace)
        binding = {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "gateway"},
            "subjects": [subject],
            "roleRef": role,
        }
        api.create(binding, namespace)
        self.kubeconfig = control_plane.kubeconfig_for_token(control_plane.service_account_token(namespace, "default"))

    def write(self, objects: MemorySource) -> None:
        wanted = {(item["kind"], item["metadata"]["name"]) for item in manifests(objects)} | {("Secret", signing_key_name(MAP))}
        for item in manifests(objects):
            self._api.apply(item, self.namespace)
        for kind in ("ConfigMap", "Secret"):
            for item in self._api.list(f"v1/{kind}", self.namespace):
                name = item["metadata"]["name"]
                if name.startswith(MAP) and (kind, name) not in wanted:
                    self._api.delete(f"v1/{kind}", name, self.namespace)

    def set_key(self, key: bytes | None) -> None:
        """Make the signing key this one; None removes its Secret."""
        name = signing_key_name(MAP)
        if key is None:
            self._api.delete("v1/Secret", name, self.namespace)
        else:
            data = {SIGNING_KEY_FIELD: base64.b64encode(key).decode()}
            self._api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}, self.namespace)

    def sign(self, key: bytes | None, place: str = "") -> None:
        """Sign the head; None removes the signature. place: another namespace than this one."""
        head = self._api.get("v1/ConfigMap", MAP, self.namespace)
        head["data"].pop(SIGNATURE_KEY, None)
        if key is not None:
            head["data"][SIGNATURE_KEY] = sign_head(head["data"][HEAD_KEY], key, place or self.namespace, MAP)
        self._api.replace(head)

    def source(self) -> MapSource:
        raise NotImplementedError("opened with `opened`")


@pytest.fixture(params=["memory", "file", "configmap"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "file":
        yield FileStore(tmp_path / "map.yaml")
    else:
        yield request.getfixturevalue("config_map_store")


@pytest.fixture
def config_map_store(control_plane: ControlPlane, api: Api, namespace: str) -> ConfigMapStore:
    return ConfigMapStore(control_plane, api, namespace)


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[MapSource]:
    if isinstance(store, ConfigMapStore):
        source = await open_source(f"configmap:{store.namespace}/{MAP}", store.kubeconfig)
    else:
        source = store.source()
    try:
        yield source
    finally:
        await source.close()


def objects(sequence: int, *contents: Mapping[str, Any], credentials: Mapping[str, bytes] | None = None) -> MemorySource:
    made = MemorySource()
    publish(made, sequence, *contents, credentials=credentials)
    return made


async def test_an_empty_store_has_no_head_no_shard_and_no_credentials(store: Store) -> None:
    async with opened(store) as source:
        assert await source.fetch_head() is None
        assert await source.fetch_shard(f"{MAP}-0-000000000000") is None
        assert await source.fetch_credentials(3) == {}


async def test_a_gateway_serves_what_the_store_holds_and_follows_it(store: Store) -> None:
    async with opened(store) as source:
        store.write(objects(1, content("a", title="ä\n- b: |\u2028 #\t"), content("b", auth=bearer(KEY)), credentials={KEY: b"\x00\xff"}))
        loader = MapLoader(source)
        served = await loader.reload(1)
        assert served.ids == ("a", "b")
        assert served.credentials == {KEY: b"\x00\xff"}
        store.write(objects(2, content("b"), content("mcp::internal::acme/files")))
        served = await loader.reload(2)
        assert served.ids == ("b", "mcp::internal::acme/files")
        assert served.credentials == {}


async def test_a_head_that_vanishes_keeps_what_is_served(store: Store) -> None:
    async with opened(store) as source:
        store.write(objects(1, content("a")))
        loader = MapLoader(source)
        await loader.reload(1)
        store.write(MemorySource())
        with pytest.raises(NotAccepted, match=f"{MAP} was deleted"):
            await loader.reload(2)


async def test_many_shards_are_one_map(store: Store) -> None:
    async with opened(store) as source:
        store.write(objects(1, *(content(f"c{number}", description="x" * 2000) for number in range(100))))
        assert len(await MapLoader(source).reload(1)) == 100


# --- ConfigMaps -----------------------------------------------------------------------------------------------------------------------


async def test_the_gateway_asks_the_api_server_for_nothing_but_get_by_name(
    config_map_store: ConfigMapStore, control_plane: ControlPlane
) -> None:
    config_map_store.write(objects(1, content("a", auth=bearer(KEY)), credentials={KEY: b"x"}))
    async with opened(config_map_store) as source:
        await MapLoader(source).reload(1)
    user = f"system:serviceaccount:{config_map_store.namespace}:default"
    asked = [event for event in control_plane.audit_events() if event["user"]["username"] == user]
    assert {(event["verb"], event["objectRef"]["resource"]) for event in asked} == {("get", "configmaps"), ("get", "secrets")}
    secrets = [event["objectRef"]["name"] for event in asked if event["objectRef"]["resource"] == "secrets"]
    assert secrets == [signing_key_name(MAP), f"{MAP}-credentials-{credential_object(KEY)}"]


OLD_KEY, NEW_KEY = b"o" * 32, b"n" * 32


async def test_map_of_an_operator_that_does_not_sign_is_served_until_there_is_a_key(config_map_store: ConfigMapStore) -> None:
    config_map_store.write(objects(1, content("a")))
    async with opened(config_map_store) as source:
        loader = MapLoader(source)
        assert (await loader.reload(1)).ids == ("a",)
        config_map_store.set_key(OLD_KEY)
        config_map_store.write(objects(2, content("b")))
        with pytest.raises(NotAccepted, match="ForgedMap: it is not signed with the key of this installation"):
            await loader.reload(2)
        config_map_store.sign(OLD_KEY)
        assert (await loader.reload(2)).ids == ("b",)
        config_map_store.set_key(None)
        config_map_store.write(objects(3, content("c")))
        config_map_store.sign(None)
        with pytest.raises(NotAccepted, match=r"ForgedMap: it is not signed, and Secret .* has no key yet"):
            await loader.reload(3)
    async with opened(config_map_store) as source:
        assert (await MapLoader(source).reload(3)).ids == ("c",), "a process that never saw a key cannot know that there was one"


async def test_key_that_was_replaced_is_read_again_and_the_old_one_no_longer_counts(config_map_store: ConfigMapStore) -> None:
    config_map_store.set_key(OLD_KEY)
    config_map_store.write(objects(1, content("a")))
    config_map_store.sign(OLD_KEY)
    async with opened(config_map_store) as source:
        loader = MapLoader(source)
        await loader.reload(1)
        config_map_store.set_key(NEW_KEY)
        config_map_store.write(objects(2, content("b")))
        config_map_store.sign(NEW_KEY)
        assert (await loader.reload(2)).ids == ("b",)
        config_map_store.write(objects(3, content("c")))
        config_map_store.sign(OLD_KEY)
        with pytest.raises(NotAccepted, match="ForgedMap: its signature is not valid"):
            await loader.reload(3)


async def test_head_of_another_gateway_is_not_taken_although_the_key_is_the_same(config_map_store: ConfigMapStore) -> None:
    config_map_store.set_key(OLD_KEY)
    config_map_store.write(objects(1, content("a")))
    config_map_store.sign(OLD_KEY, place="elsewhere")
    async with opened(config_map_store) as source:
        with pytest.raises(NotAccepted, match="ForgedMap"):
            await MapLoader(source).reload(1)


async def test_a_missing_permission_is_named(config_map_store: ConfigMapStore, api: Api) -> None:
    api.delete("rbac.authorization.k8s.io/v1/Role", "gateway", config_map_store.namespace)
    config_map_store.write(objects(1, content("a")))
    async with opened(config_map_store) as source:
        with pytest.raises(NotReadable, match="give the gateway's service account `get` on configmaps"):
            await MapLoader(source).reload(1)


async def test_a_config_map_without_the_key_is_not_a_map(config_map_store: ConfigMapStore, api: Api) -> None:
    api.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": MAP}, "data": {"x": "y"}}, config_map_store.namespace)
    async with opened(config_map_store) as source:
        with pytest.raises(MapUnreadable, match=r"has no head\.json"):
            await source.fetch_head()


async def test_an_api_server_that_is_away_is_a_reason_to_try_again(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": f"http://127.0.0.1:{free_port()}"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context], "current-context": "x"}
    kubeconfig.write_text(yaml.safe_dump(config | {"users": [{"name": "u", "user": {}}]}))
    source = await open_source(f"configmap:ns/{MAP}", kubeconfig)
    with pytest.raises(SourceUnavailable, match="not reached"):
        await source.fetch_head()
    await source.close()


async def test_without_credentials_the_source_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(BadSource, match="nowhere"):
        await open_source(f"configmap:ns/{MAP}", tmp_path / "nowhere")


# --- files ----------------------------------------------------------------------------------------------------------------------------


async def test_a_directory_is_read_as_one_and_hidden_files_are_left_out(tmp_path: Path) -> None:
    for number, item in enumerate(manifests(objects(1, content("a", auth=bearer(KEY)), credentials={KEY: b"x"}))):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(item))
    (tmp_path / ".half.yaml").write_text("{")
    (tmp_path / "README.md").write_text("{")
    served = await MapLoader(await open_source(f"file:{tmp_path}")).reload(1)
    assert served.credentials == {KEY: b"x"}


async def test_string_data_and_lists_are_read(tmp_path: Path) -> None:
    items = manifests(objects(1, content("a", auth=bearer(KEY)), credentials={KEY: b"x"}))
    items[-1]["stringData"] = {KEY: "plain"}
    (tmp_path / "map.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    assert (await MapLoader(FileSource(tmp_path / "map.yaml")).reload(1)).credentials == {KEY: b"plain"}


async def test_of_several_maps_one_has_to_be_chosen(tmp_path: Path) -> None:
    items = manifests(objects(1, content("a")))
    head = next(item for item in items if item["metadata"]["name"] == MAP)
    (tmp_path / "map.yaml").write_text(yaml.safe_dump_all([*items, head | {"metadata": {"name": "other"}}]))
    with pytest.raises(MapUnreadable, match="choose one with file:"):
        await FileSource(tmp_path / "map.yaml").fetch_head()
    source = await open_source(f"file:{tmp_path}/map.yaml#{MAP}")
    assert (await MapLoader(source).reload(1)).ids == ("a",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not YAML"),
        ("kind: Secret\nmetadata: {name: x}\ndata: {k: hunter2!}", "the value of 'k' is not base64"),
        (f"kind: ConfigMap\nmetadata: {{name: {MAP}}}\ndata: {{head.json: 7}}", r"has no head\.json"),
        ("\x00", "is not YAML"),
    ],
)
async def test_a_broken_file_is_told_keeps_the_old_map_and_heals(tmp_path: Path, text: str, words: str) -> None:
    store = FileStore(tmp_path / "map.yaml")
    store.write(objects(1, content("a")))
    loader = MapLoader(store.source())
    await loader.reload(1)
    store.path.write_text(text)
    with pytest.raises(NotAccepted, match=words) as raised:
        await loader.reload(2)
    assert "hunter2" not in str(raised.value)
    assert loader.served() is not None
    store.write(objects(2, content("b")))
    assert (await loader.reload(2)).ids == ("b",)


async def test_a_missing_file_is_a_reason_to_try_again(tmp_path: Path) -> None:
    with pytest.raises(NotReadable, match="does not exist"):
        await MapLoader(FileSource(tmp_path / "map.yaml")).reload(1)
