"""`--callers apikeys:FILE`: keys in a mounted Secret, read again when it changes."""

import asyncio
import hmac
import logging
from pathlib import Path
from typing import Self

from junctor.gateway.auth.key_file import ApiKey, digest_of, read_keys
from junctor.gateway.auth.ports import Caller, CallersError, bearer_token
from junctor.gateway.web.errors import Unauthorized
from junctor.net.files import FileStamp

_log = logging.getLogger(__name__)


class ApiKeys:
    """Identifies callers by API keys. When the file cannot be read, the previous keys stay valid; an empty file lets nobody in."""

    def __init__(self, path: Path, stamp: FileStamp | None, keys: tuple[ApiKey, ...]) -> None:
        self._path = path
        self._stamp = stamp
        self._keys = keys
        self._reading = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Read the file. Raises CallersError."""
        return cls(path, *await asyncio.to_thread(read_keys, path))

    async def identify(self, authorization: str | None, peer: str = "") -> Caller:
        """Return the owner of the key according to the current file. Raises Unauthorized."""
        if FileStamp.find(self._path) != self._stamp:
            await self._read_again()
        token = bearer_token(authorization)
        if token is None:
            raise Unauthorized
        digest, found = digest_of(token), None
        # Every key is compared, each in constant time, so the duration reveals nothing about the keys.
        for key in self._keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key.caller
        if found is None:
            raise Unauthorized
        return found

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def _read_again(self) -> None:
        async with self._reading:
            stamp = FileStamp.find(self._path)
            if stamp == self._stamp:
                return
            try:
                # In a thread: a large file takes a tenth of a second.
                self._stamp, self._keys = await asyncio.to_thread(read_keys, self._path)
            except CallersError as error:
                self._stamp = stamp
                _log.error("the previous API keys stay valid: %s", error)
            else:
                _log.info("%s was read again: %d API keys", self._path, len(self._keys))
