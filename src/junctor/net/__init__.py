"""Primitives without a domain: addresses, TLS, globs, connection pools."""
