"""The first telling exception among the causes says why a connection failed."""

import socket
import ssl

import pytest

from junctor.net.transport_failures import FailureKind, transport_failure


def caused(cause: BaseException, *, explicitly: bool = True) -> Exception:
    error = OSError("outer")
    if explicitly:
        error.__cause__ = cause
    else:
        error.__context__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (ssl.SSLCertVerificationError(1, "bad certificate"), FailureKind.CERTIFICATE),
        (ssl.SSLError(1, "wrong version number"), FailureKind.TLS),
        (socket.gaierror(-2, "unknown"), FailureKind.NAME),
        (ConnectionRefusedError(), FailureKind.REFUSED),
        (ssl.SSLEOFError(8, "eof"), FailureKind.OTHER),
        (ConnectionResetError(), FailureKind.OTHER),
    ],
)
@pytest.mark.parametrize("explicitly", [True, False])
def test_cause_decides(cause: BaseException, kind: FailureKind, explicitly: bool) -> None:
    if isinstance(cause, ssl.SSLCertVerificationError):
        cause.verify_message = "expired"
    assert transport_failure(caused(caused(cause), explicitly=explicitly)).kind is kind
