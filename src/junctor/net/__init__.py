"""Primitives without a domain, each in one place: backoff, Retry-After, headers, URLs and addresses, TLS, redaction, files, time, and the
names of formats that others define."""
