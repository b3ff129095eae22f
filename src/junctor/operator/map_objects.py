"""The objects of a connector map as ConfigMaps and Secrets (port `MapObjects`)."""

import base64
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from junctor.api.configuration import GatewaySpec
from junctor.api.names import CREDENTIALS_LABEL, CREDENTIALS_PUBLISHED, CREDENTIALS_SIGNING_KEY, GROUP, MAP_LABEL
from junctor.connectormap.credentials import CREDENTIAL_OBJECTS, credential_object_name, credential_version
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.connectormap.signature import SIGNATURE_KEY, SIGNING_KEY_FIELD, SIGNING_KEY_LENGTH, is_signed, sign_head, signing_key_name
from junctor.kube import client
from junctor.kube.client import KubernetesApi, KubernetesError, object_path
from junctor.net.formats import KubernetesObject
from junctor.reconcile.ports import Conflict, Signature, StoredCredentials, StoredObject, Unavailable

INSTALLATION_ANNOTATION: Final = f"{GROUP}/installation"
_KEY_FIELD: Final = "hmacKey"

P = ParamSpec("P")
T = TypeVar("T")


def port_errors(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a method raise the port's errors instead of those of the Kubernetes client."""

    @wraps(method)
    async def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except client.Conflict as error:
            raise Conflict(str(error)) from error
        except KubernetesError as error:
            raise Unavailable(str(error)) from error

    return translated


class ConfigMapObjects:
    """The map of one gateway. Everything it creates is owned by the anchor ConfigMap `<map>-anchor`."""

    def __init__(self, api: KubernetesApi, gateway: GatewaySpec) -> None:
        self._api = api
        self._namespace = gateway.namespace
        self._map = gateway.map
        self._anchor_uid = ""
        self._key = b""
        #: Empty while there is none.
        self._signing_key = b""

    def use_key(self, key: bytes) -> None:
        """Use the key of another map: an operator has one key for all its gateways."""
        self._key = key

    @port_errors
    async def installation(self, remembered: str) -> str:
        """Read the anchor, or create it, and return the id of the installation."""
        name = f"{self._map}-anchor"
        try:
            anchor = await self._api.get(self._config_map(name))
        except client.NotFound:
            body = self._object("ConfigMap", name, owned=False)
            body["data"] = {"about": "Owns the objects of this connector map. Deleting it deletes them."}
            if remembered:
                body["metadata"]["annotations"] = {INSTALLATION_ANNOTATION: remembered}
            anchor = await self._api.create(self._config_map(), body)
        self._anchor_uid = anchor["metadata"]["uid"]
        return str((anchor["metadata"].get("annotations") or {}).get(INSTALLATION_ANNOTATION) or self._anchor_uid)

    @port_errors
    async def installation_key(self) -> bytes:
        """Read the key from the Secret `<map>-installation`, or create both."""
        if not self._key:
            name = f"{self._map}-installation"
            try:
                stored = await self._api.get(self._secret(name))
            except client.NotFound:
                body = self._object("Secret", name)
                body["data"] = {_KEY_FIELD: base64.b64encode(secrets.token_bytes(32)).decode()}
                stored = await self._api.create(self._secret(), body)
            self._key = base64.b64decode(stored["data"][_KEY_FIELD])
        return self._key

    @port_errors
    async def read_head(self) -> StoredObject | None:
        """Read the head, and the signing key, which somebody may have replaced."""
        try:
            self._signing_key = self._key_in(await self._api.get(self._secret(signing_key_name(self._map))))
        except client.NotFound:
            self._signing_key = b""
        try:
            return self._stored_head(await self._api.get(self._config_map(self._map)))
        except client.NotFound:
            return None

    @port_errors
    async def write_head(self, text: str, expected: StoredObject | None) -> StoredObject:
        """Sign the head, and create or replace it."""
        if not self._signing_key:
            self._signing_key = self._key_in(await self._make_signing_key())
        body = self._object("ConfigMap", self._map)
        body["data"] = {HEAD_KEY: text, SIGNATURE_KEY: sign_head(text, self._signing_key, self._namespace, self._map)}
        if expected is None:
            written = await self._api.create(self._config_map(), body)
        else:
            body["metadata"].update(uid=expected.uid, resourceVersion=expected.version)
            try:
                written = await self._api.replace(self._config_map(self._map), body)
            except client.NotFound as error:
                raise Conflict(f"ConfigMap {self._namespace}/{self._map} was deleted meanwhile") from error
        return self._stored_head(written)

    @port_errors
    async def list_shards(self) -> Sequence[StoredObject]:
        """List the shards by the map's label and their name."""
        found: list[StoredObject] = []
        async for items, _ in self._api.list(self._config_map(), label_selector=f"{MAP_LABEL}={self._map}"):
            found += [self._stored(item) for item in items if item["metadata"]["name"] not in (self._map, f"{self._map}-anchor")]
        return found

    @port_errors
    async def create_shard(self, name: str, text: str) -> StoredObject:
        """Create a shard as an immutable ConfigMap; one that exists with the same text is taken over."""
        body = self._object("ConfigMap", name)
        body["immutable"] = True
        body["data"] = {SHARD_KEY: text}
        try:
            return self._stored(await self._api.create(self._config_map(), body))
        except client.Conflict:
            existing = self._stored(await self._api.get(self._config_map(name)))
            if existing.data.get(SHARD_KEY) == text:
                return existing
            raise

    @port_errors
    async def delete_shard(self, shard: StoredObject) -> None:
        """Delete a shard unless it has changed or was deleted already."""
        try:
            await self._api.delete(self._config_map(shard.name), uid=shard.uid, version=shard.version)
        except (client.NotFound, client.Conflict):
            return

    @port_errors
    async def list_credentials(self) -> Sequence[StoredCredentials]:
        """List the credential Secrets by the map's label."""
        await self.installation_key()
        found: list[StoredCredentials] = []
        async for items, _ in self._api.list(
            self._secret(), label_selector=f"{CREDENTIALS_LABEL}={CREDENTIALS_PUBLISHED},{MAP_LABEL}={self._map}"
        ):
            found += [stored for item in items if (stored := self._stored_credentials(item)) is not None]
        return found

    @port_errors
    async def add_credentials(self, number: int, values: Mapping[str, bytes]) -> StoredCredentials:
        """Merge keys into a Secret, or create it with them."""
        await self.installation_key()
        name = credential_object_name(self._map, number)
        body = self._object("Secret", name)
        body["metadata"]["labels"][CREDENTIALS_LABEL] = CREDENTIALS_PUBLISHED
        body["data"] = {key: base64.b64encode(value).decode() for key, value in values.items()}
        try:
            written = await self._api.merge_patch(
                self._secret(name), {"metadata": {"labels": body["metadata"]["labels"]}, "data": body["data"]}
            )
        except client.NotFound:
            written = await self._api.create(self._secret(), body)
        stored = self._stored_credentials(written)
        if stored is None:
            raise Unavailable(f"Secret {self._namespace}/{name} was not stored as it was written")
        return stored

    @port_errors
    async def remove_credentials(self, stored: StoredCredentials, keys: frozenset[str]) -> StoredCredentials | None:
        """Remove keys if the Secret has not changed since; a Secret that would have no keys is deleted."""
        name = credential_object_name(self._map, stored.number)
        try:
            if stored.all_keys <= keys:
                await self._api.delete(self._secret(name), uid=stored.uid, version=stored.version)
                return None
            patch = {"metadata": {"resourceVersion": stored.version}, "data": dict.fromkeys(keys)}
            return self._stored_credentials(await self._api.merge_patch(self._secret(name), patch))
        except client.NotFound:
            return None

    async def _make_signing_key(self) -> KubernetesObject:
        """Fill the Secret `<map>-signing-key`, which the chart makes without a key, or create it. A key that it has already is kept.

        The anchor does not own the Secret: whoever may delete ConfigMaps must not be able to remove the key.
        """
        name = signing_key_name(self._map)
        data = {SIGNING_KEY_FIELD: base64.b64encode(secrets.token_bytes(SIGNING_KEY_LENGTH)).decode()}
        try:
            stored = await self._api.get(self._secret(name))
        except client.NotFound:
            body = self._object("Secret", name, owned=False)
            body["metadata"]["labels"][CREDENTIALS_LABEL] = CREDENTIALS_SIGNING_KEY
            return await self._api.create(self._secret(), body | {"data": data})
        if self._key_in(stored):
            return stored
        patch = {"metadata": {"resourceVersion": stored["metadata"]["resourceVersion"]}, "data": data}
        return await self._api.merge_patch(self._secret(name), patch)

    def _key_in(self, secret: KubernetesObject) -> bytes:
        """The signing key in its Secret; empty when there is none."""
        key = base64.b64decode((secret.get("data") or {}).get(SIGNING_KEY_FIELD, ""))
        if 0 < len(key) < SIGNING_KEY_LENGTH:
            where = f"Secret {self._namespace}/{secret['metadata']['name']}"
            raise Unavailable(
                f"{where}: {SIGNING_KEY_FIELD} has less than {SIGNING_KEY_LENGTH} bytes; delete the Secret to have it made anew"
            )
        return key

    def _object(self, kind: str, name: str, *, owned: bool = True) -> KubernetesObject:
        metadata: KubernetesObject = {
            "name": name,
            "namespace": self._namespace,
            "labels": {MAP_LABEL: self._map, "app.kubernetes.io/managed-by": "junctor", "app.kubernetes.io/part-of": "junctor"},
        }
        if owned:
            owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": f"{self._map}-anchor", "uid": self._anchor_uid}
            metadata["ownerReferences"] = [owner]
        return {"apiVersion": "v1", "kind": kind, "metadata": metadata}

    def _stored(self, body: KubernetesObject) -> StoredObject:
        metadata = body["metadata"]
        owners = {owner.get("uid") for owner in metadata.get("ownerReferences") or ()}
        return StoredObject(
            metadata["name"], metadata["uid"], metadata["resourceVersion"], self._anchor_uid in owners, body.get("data") or {}
        )

    def _stored_head(self, body: KubernetesObject) -> StoredObject:
        stored = self._stored(body)
        if not self._signing_key:
            return replace(stored, signature=Signature.UNKNOWN)
        text, signature = stored.data.get(HEAD_KEY, ""), stored.data.get(SIGNATURE_KEY, "")
        if is_signed(text, signature, self._signing_key, self._namespace, self._map):
            return stored
        return replace(stored, signature=Signature.INVALID)

    def _stored_credentials(self, body: KubernetesObject) -> StoredCredentials | None:
        metadata = body["metadata"]
        number = metadata["name"].removeprefix(f"{self._map}-credentials-")
        if not number.isdigit() or int(number) >= CREDENTIAL_OBJECTS:
            return None
        data: dict[str, str] = body.get("data") or {}
        intact = frozenset(
            key for key, value in data.items() if credential_version(self._key, base64.b64decode(value)) == key.split(".")[-1]
        )
        return StoredCredentials(int(number), metadata["uid"], metadata["resourceVersion"], intact, frozenset(data))

    def _config_map(self, name: str | None = None) -> str:
        return object_path("configmaps", self._namespace, name)

    def _secret(self, name: str | None = None) -> str:
        return object_path("secrets", self._namespace, name)
