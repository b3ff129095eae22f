"""Why a connection failed, read from the exception of whichever HTTP client made it."""

import socket
import ssl
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple


class FailureKind(Enum):
    """What kept a connection from being made."""

    CERTIFICATE = auto()
    TLS = auto()
    NAME = auto()
    REFUSED = auto()
    OTHER = auto()


class TransportFailure(NamedTuple):
    """detail: OpenSSL's own words for CERTIFICATE and TLS, otherwise empty."""

    kind: FailureKind
    detail: str = ""


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def transport_failure(error: BaseException) -> TransportFailure:
    """Classify an error of an HTTP client by the first telling exception among its causes."""
    for cause in causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return TransportFailure(FailureKind.CERTIFICATE, cause.verify_message)
            case ssl.SSLEOFError() | ssl.SSLZeroReturnError() | ssl.SSLWantReadError() | ssl.SSLWantWriteError():
                break  # the connection ended, or the handshake hangs: this says nothing about TLS
            case ssl.SSLError():
                return TransportFailure(FailureKind.TLS, getattr(cause, "reason", None) or "the handshake failed")
            case socket.gaierror():
                return TransportFailure(FailureKind.NAME)
            case ConnectionRefusedError():
                return TransportFailure(FailureKind.REFUSED)
    return TransportFailure(FailureKind.OTHER)
