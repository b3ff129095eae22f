"""The gateway's own keys for model servers."""

import logging
from pathlib import Path

from junctor.gateway.models.ports import UpstreamError

_log = logging.getLogger(__name__)


def no_key() -> None:
    """For a model server that asks for none."""
    return


class KeyFile:
    """A key in a file, such as a mounted Secret; read again when the file changed, so that a rotated key needs no restart."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._key = ""

    def __call__(self) -> str:
        """The key of now. Raises UpstreamError when there is none."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                key = self._path.read_text(encoding="ascii").strip()
                if not key or not key.isprintable():
                    raise ValueError("it is empty or has characters that no header can have")
                self._key, self._stamp = key, stamp
        except (OSError, ValueError) as error:
            reason = "it holds bytes that no header can have" if isinstance(error, UnicodeError) else error
            _log.error("key file %s cannot be used: %s", self._path, reason)
            raise UpstreamError("the gateway has no usable key for the model server", status=503, code="server_error") from None
        return self._key
