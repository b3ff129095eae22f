"""The signature of a head. Operator and gateways alone know its key: whoever may merely write ConfigMaps cannot make a map.

The head names each shard with the SHA-256 digest of its whole text, and readers verify it. So the signature of the head covers every
entry, with its URL, its hosts and the names of its credentials; entries have no signatures of their own.
"""

import hashlib
import hmac
from typing import Final

from junctor.connectormap.head import SCHEMA

#: In the data of the head ConfigMap, beside the head's text.
SIGNATURE_KEY: Final = "head.hmac-sha256"
#: In the data of the Secret with the key.
SIGNING_KEY_FIELD: Final = "hmacKey"
#: Bytes that a key has to have at least.
SIGNING_KEY_LENGTH: Final = 32


def signing_key_name(map_name: str) -> str:
    """The name of the Secret that holds the key of a map, in the map's namespace."""
    return f"{map_name}-signing-key"


def sign_head(text: str, key: bytes, namespace: str, map_name: str) -> str:
    """The signature, 64 hex digits, of the text of a head in this place: another gateway's map has another place."""
    return hmac.new(key, f"{SCHEMA}\n{namespace}/{map_name}\n{text}".encode(errors="surrogatepass"), hashlib.sha256).hexdigest()


def is_signed(text: str, signature: str, key: bytes, namespace: str, map_name: str) -> bool:
    """Whether this is the signature of the text in this place. It is compared in constant time."""
    return hmac.compare_digest(sign_head(text, key, namespace, map_name).encode(), signature.encode(errors="surrogatepass"))
