"""`junctor` as it is where names have addresses: all names below `.test`, which RFC 2606 keeps for this, are at 127.0.0.1.

A name such as `a.169-254-169-254.test` is at the address that it spells, one such as `a.127-0-0-1.127-0-0-2.test` alternates between two.
"""

import itertools
import re
import socket
import sys
from collections import defaultdict
from typing import Any, Final

import uvloop

from junctor.cli.main import main

#: What Python runs; the command and its options follow.
PROGRAM: Final = ("-m", __name__)

_SPELT: Final = re.compile(r"\.(\d+-\d+-\d+-\d+)(?=\.)")
_resolve, _look_up = uvloop.Loop.getaddrinfo, socket.getaddrinfo
_times_asked: defaultdict[str, "itertools.count[int]"] = defaultdict(itertools.count)


def _address(name: str) -> str:
    spelt = _SPELT.findall(name)
    return spelt[next(_times_asked[name]) % len(spelt)].replace("-", ".") if spelt else "127.0.0.1"


def _known(host: str | bytes | None) -> str | bytes | None:
    name = host.decode() if isinstance(host, bytes) else host or ""
    return _address(name) if name.endswith(".test") else host


async def _getaddrinfo(loop: uvloop.Loop, host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
    return await _resolve(loop, _known(host), *arguments, **options)


def _getaddrinfo_in_a_thread(host: str | bytes | None, *arguments: Any, **options: Any) -> Any:
    return _look_up(_known(host), *arguments, **options)


if __name__ == "__main__":
    uvloop.Loop.getaddrinfo = _getaddrinfo  # type: ignore[assignment, method-assign]  # all connections ask one of the two
    vars(socket).update(getaddrinfo=_getaddrinfo_in_a_thread)
    main(sys.argv[1:])
