"""TLS settings of clients, made once for each CA bundle."""

import ssl
from functools import lru_cache


@lru_cache(maxsize=256)
def ssl_context(ca_bundle: str | None = None) -> ssl.SSLContext:
    """The TLS settings for a CA bundle (PEM), None for the system's authorities: one object, shared, because making one takes 20 ms.

    Raises ValueError for a bundle without a certificate.
    """
    try:
        return ssl.create_default_context(cadata=ca_bundle)
    except (ssl.SSLError, ValueError) as error:
        raise ValueError("the CA bundle holds no certificate that can be read") from error
