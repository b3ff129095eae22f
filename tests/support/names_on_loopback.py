"""`junctor` as it is where names have addresses: all names below `.test`, which RFC 2606 keeps for this, are at 127.0.0.1."""

import sys
from typing import Any, Final

import uvloop

from junctor.cli.main import main

#: What Python runs; the command and its options follow.
PROGRAM: Final = ("-m", __name__)

_resolve = uvloop.Loop.getaddrinfo


async def _getaddrinfo(loop: uvloop.Loop, host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host or ""
    return await _resolve(loop, "127.0.0.1" if name.endswith(".test") else host, *arguments, **options)


if __name__ == "__main__":
    uvloop.Loop.getaddrinfo = _getaddrinfo  # type: ignore[assignment, method-assign]  # all connections ask it
    main(sys.argv[1:])
