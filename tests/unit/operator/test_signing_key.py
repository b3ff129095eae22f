"""The key that signs a map: who makes it, and which heads are believed."""

import base64
from typing import Any

import pytest

from junctor.api.names import CREDENTIALS_LABEL
from junctor.connectormap.head import HEAD_KEY
from junctor.connectormap.signature import SIGNATURE_KEY, SIGNING_KEY_FIELD
from junctor.operator.map_objects import ConfigMapObjects
from junctor.reconcile.ports import Signature, Unavailable
from tests.unit.operator.test_faults import Api, objects

SIGNING_KEY = "/api/v1/namespaces/junctor/secrets/junctor-connectors-signing-key"
HEAD = "/api/v1/namespaces/junctor/configmaps/junctor-connectors"


def signing_key(**data: str) -> dict[str, Any]:
    return {"metadata": {"name": "junctor-connectors-signing-key", "uid": "k", "resourceVersion": "1"}, "data": data}


def head_with(text: str, signature: str | None) -> dict[str, Any]:
    data = {HEAD_KEY: text} | ({} if signature is None else {SIGNATURE_KEY: signature})
    return {"metadata": {"name": "junctor-connectors", "uid": "u", "resourceVersion": "1"}, "data": data}


async def signature_of_head(objects: ConfigMapObjects) -> Signature:
    head = await objects.read_head()
    assert head is not None
    return head.signature


async def test_unsigned_head_is_believed_until_the_operator_signs_one() -> None:
    api = Api()
    api.objects |= {SIGNING_KEY: signing_key(), HEAD: head_with("x", None)}
    made = objects(api)
    assert await signature_of_head(made) is Signature.UNKNOWN
    assert await signature_of_head(made) is Signature.UNKNOWN
    api.objects[HEAD] = {**await written(made, "y")}
    assert len(base64.b64decode(api.objects[SIGNING_KEY]["data"][SIGNING_KEY_FIELD])) == 32
    assert await signature_of_head(made) is Signature.VALID
    assert await signature_of_head(objects(api)) is Signature.VALID
    for forged in (head_with("z", None), head_with("z", api.objects[HEAD]["data"][SIGNATURE_KEY]), head_with("y", "é")):
        api.objects[HEAD] = forged
        assert await signature_of_head(made) is Signature.INVALID
        assert await signature_of_head(objects(api)) is Signature.INVALID


async def written(made: ConfigMapObjects, text: str) -> dict[str, Any]:
    stored = await made.write_head(text, None)
    return head_with(text, stored.data[SIGNATURE_KEY])


async def test_missing_secret_of_the_signing_key_is_made_without_an_owner() -> None:
    api = Api()
    created: list[dict[str, Any]] = []
    create = api.create

    async def keeping(path: str, body: dict[str, Any]) -> dict[str, Any]:
        created.append(body)
        return await create(path, body)

    api.create = keeping  # type: ignore[method-assign]
    made = objects(api)
    assert await made.read_head() is None
    await made.write_head("x", None)
    secret = next(body for body in created if body["kind"] == "Secret")
    assert secret["metadata"]["labels"][CREDENTIALS_LABEL] == "signing-key"
    assert "ownerReferences" not in secret["metadata"], "whoever may delete the anchor must not remove the key"


async def test_short_signing_key_is_refused_with_the_remedy() -> None:
    api = Api()
    api.objects[SIGNING_KEY] = signing_key(**{SIGNING_KEY_FIELD: base64.b64encode(b"short").decode()})
    with pytest.raises(Unavailable, match="hmacKey has less than 32 bytes; delete the Secret"):
        await objects(api).read_head()
