"""The map source `configmap:NAMESPACE/NAME`: reads ConfigMaps and Secrets one by one, by name.

Needs `get` on ConfigMaps of the namespace (shard names are not known beforehand), on the 16 credential Secrets and on the Secret with the
key that signs the map; never list or watch.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from junctor.connectormap.credentials import credential_object_name
from junctor.connectormap.errors import ForgedMap, MapUnreadable
from junctor.connectormap.head import HEAD_KEY, SHARD_KEY
from junctor.connectormap.signature import SIGNATURE_KEY, SIGNING_KEY_FIELD, is_signed, signing_key_name
from junctor.gateway.serving.sources import BadSource, SourceUnavailable
from junctor.kube.client import CredentialsError, KubernetesApi, KubernetesError, NotFound, load_configuration, object_path
from junctor.net.formats import KubernetesObject, KubernetesObjectView

#: Seconds for one GET, connection included. A stuck API server delays a reload; the next poll tries again.
DEADLINE: Final = 5.0
#: Reads are sequential, except when a poll and a signal coincide.
_CONNECTIONS: Final = 4


class ConfigMapSource:
    """A connector map in the cluster."""

    def __init__(self, api: KubernetesApi, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._signature = ""
        #: None until a head was signed, or a key existed: then this process never again accepts a head without a signature.
        self._signing_key: bytes | None = None

    @classmethod
    async def connect(cls, namespace: str, name: str, kubeconfig: Path | None = None) -> Self:
        """Load credentials; no request is made yet. Raises BadSource without usable credentials."""
        try:
            configuration = await load_configuration(kubeconfig, pool_size=_CONNECTIONS)
        except CredentialsError as error:
            raise BadSource(str(error)) from error
        return cls(KubernetesApi(configuration, timeout=DEADLINE), namespace, name)

    @property
    def head_name(self) -> str:
        """The name of the head ConfigMap."""
        return self._name

    async def fetch_head(self) -> str | None:
        """Return the head as the API server has it: a GET without resourceVersion is never stale."""
        data = await self._data(self._name)
        if data is None:
            return None
        signature = data.get(SIGNATURE_KEY)
        self._signature = signature if isinstance(signature, str) else ""
        return self._text(data, self._name, HEAD_KEY)

    async def authenticate(self, head: str) -> None:
        """Check the signature of a head; the key is read again when it does not match, because it may have been replaced."""
        if self._is_signed(head):
            return
        name = signing_key_name(self._name)
        key = (await self._secret_values(name)).get(SIGNING_KEY_FIELD)
        self._signing_key = key or self._signing_key
        if self._is_signed(head) or (self._signing_key is None and not self._signature):
            return
        problem = "its signature is not valid" if self._signature else "it is not signed"
        secret = f"Secret {self._namespace}/{name}"
        why = f"{problem} with the key of this installation, in {secret}" if key else f"{problem}, and {secret} has no key yet"
        raise ForgedMap(f"head {self._name}: ForgedMap: {why}; only the operator may write the ConfigMap")

    async def fetch_shard(self, name: str) -> str | None:
        """Return a shard, None when another one has replaced it."""
        data = await self._data(name)
        return None if data is None else self._text(data, name, SHARD_KEY)

    async def fetch_credentials(self, number: int) -> Mapping[str, bytes]:
        """Return the values of one Secret; none when it does not exist."""
        return await self._secret_values(credential_object_name(self._name, number))

    async def close(self) -> None:
        """Close the connections to the API server."""
        await self._api.close()

    def _is_signed(self, head: str) -> bool:
        return self._signing_key is not None and is_signed(head, self._signature, self._signing_key, self._namespace, self._name)

    async def _secret_values(self, name: str) -> Mapping[str, bytes]:
        secret = await self._get("secrets", name)
        return {} if secret is None else _decode_data(secret.get("data") or {}, name)

    async def _data(self, name: str) -> KubernetesObjectView | None:
        config_map = await self._get("configmaps", name)
        return None if config_map is None else config_map.get("data") or {}

    def _text(self, data: KubernetesObjectView, name: str, key: str) -> str:
        text = data.get(key)
        if not isinstance(text, str):
            raise MapUnreadable(f"ConfigMap {self._namespace}/{name}: has no {key}")
        return text

    async def _get(self, plural: str, name: str) -> KubernetesObject | None:
        try:
            return await self._api.get(object_path(plural, self._namespace, name))
        except NotFound:
            return None
        except KubernetesError as error:
            hint = f"; give the gateway's service account `get` on {plural} {name}" if error.status == 403 else ""
            raise SourceUnavailable(f"{plural} {self._namespace}/{name} cannot be read: {error}{hint}") from error


def _decode_data(data: KubernetesObjectView, name: str) -> dict[str, bytes]:
    """Decode the data of a Secret. Raises MapUnreadable, which names the Secret and the key, never a value."""
    values: dict[str, bytes] = {}
    for key, value in data.items():
        try:
            values[str(key)] = base64.b64decode(value, validate=True)
        except (TypeError, ValueError, binascii.Error) as error:
            raise MapUnreadable(f"Secret {name}: the value of {key!r} is not base64") from error
    return values
