"""How long a URL takes to answer, 50 times a second until standard input ends; prints the milliseconds as a JSON list.

A process of its own, so that the work of a benchmark does not count. A probe that is late is sent at once: none is left out.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

PER_SECOND = 50


def main(url: str) -> None:
    parts = urlsplit(url)
    over = threading.Event()
    threading.Thread(target=until_end, args=(over,), daemon=True).start()
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    found = []
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        # From when it was due: a gateway that hangs delays those that follow too.
        connection.request("GET", parts.path)
        connection.getresponse().read()
        found.append(1000 * (time.monotonic() - due))
        due += 1 / PER_SECOND
    print(json.dumps(found))


def until_end(over: threading.Event) -> None:
    """Set it when standard input ends."""
    sys.stdin.read()
    over.set()


if __name__ == "__main__":
    main(sys.argv[1])
