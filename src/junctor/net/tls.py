"""TLS settings of clients, made once for each CA bundle."""

import ssl
from functools import lru_cache


class BadCABundle(ValueError):
    """The bundle holds no readable certificate. reason: in OpenSSL's words."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the CA bundle holds no certificate that can be read ({reason})")
        self.reason = reason


@lru_cache(maxsize=256)
def ssl_context(ca_bundle: str | None = None) -> ssl.SSLContext:
    """The TLS settings for a CA bundle (PEM), None for the system's authorities. Raises BadCABundle.

    Shared, because making them takes 20 ms.
    """
    return new_ssl_context(ca_bundle)


def new_ssl_context(ca_bundle: str | None) -> ssl.SSLContext:
    """As `ssl_context`, but not shared and not kept: for who only wants to know whether a bundle is usable."""
    try:
        return ssl.create_default_context(cadata=ca_bundle)
    except (ssl.SSLError, ValueError) as error:
        raise BadCABundle(getattr(error, "reason", None) or type(error).__name__) from error
