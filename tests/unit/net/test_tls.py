"""TLS settings from a CA bundle."""

import pytest

from junctor.net.tls import ssl_context


def test_a_tls_context_is_made_once_for_each_bundle() -> None:
    assert ssl_context() is ssl_context()
    with pytest.raises(ValueError, match="CA bundle"):
        ssl_context("nonsense")
