"""The budgets of requests on both ports, checked before what they bound is parsed or kept. docs/operations.md lists them."""

import resource
from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

#: From the first byte of a request to the end of its head, as they are sent; also what may come between two parts of a body.
HEAD_BYTES: Final = 64 * KIB
#: Header lines and trailers.
HEADERS: Final = 100
URL_BYTES: Final = 16 * KIB
#: Seconds from a connection or the first byte of a later request to the end of its head.
HEAD_SECONDS: Final = 10
#: Seconds in which nothing of a body comes.
BODY_SILENCE_SECONDS: Final = 30
#: Seconds in which a client takes nothing of its answer.
ANSWER_SILENCE_SECONDS: Final = 60
#: Seconds between requests; longer than the operator and usual clients keep an idle connection, so that none is closed just as it is used.
KEEP_ALIVE_SECONDS: Final = 75
#: Seconds for which what a client still sends is dropped after a refusal: closing at once would reset the connection and lose the answer.
LINGER_SECONDS: Final = 2

#: Of a request's body on the public port.
BODY_BYTES: Final = 10 * MIB
#: Of memory, about, that all requests hold which are not answered yet, and that those of one caller do.
HELD_BYTES: Final = 192 * MIB
CALLER_HELD_BYTES: Final = 96 * MIB
#: What a byte of a body takes: in the body, in its values and in what the model server gets. A value, or a name of a field, takes more.
BODY_COPIES: Final = 3
VALUE_BYTES: Final = 64
#: Values and names of fields in one body, and the depth of their nesting.
JSON_VALUES: Final = 200_000
JSON_DEPTH: Final = 200
#: From this size, a body is parsed in a thread.
LARGE_BODY: Final = 256 * KIB

_PUBLIC_CONNECTIONS: Final = 4096
_MANAGEMENT_CONNECTIONS: Final = 128
#: Connections beyond the limit that may wait for their refusal to be read.
REFUSED_CONNECTIONS: Final = 32


def connection_limits() -> tuple[int, int]:
    """Return how many connections the public port and the management port take.

    Together they leave the descriptors that the process needs for MCP servers, model servers and files.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return _PUBLIC_CONNECTIONS, _MANAGEMENT_CONNECTIONS
    spare = max(descriptors - 2 * REFUSED_CONNECTIONS, 2)
    return min(_PUBLIC_CONNECTIONS, -(-spare // 2)), min(_MANAGEMENT_CONNECTIONS, -(-spare // 8))
