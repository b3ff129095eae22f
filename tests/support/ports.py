"""Ports and addresses of loopback for one test alone, also while other workers or other test runs use the same machine.

A UDP socket is the lock: nothing in the tests speaks UDP, two processes cannot bind the same one, and the system frees it when its
process ends.
"""

import random
import socket

_HOST = "127.0.0.1"
#: Below the ports that the system gives to outgoing connections and to servers that ask for any.
_PORTS = range(20_000, 30_000)
_LOCK_PORT = 8321


def free_port() -> int:
    """A port of 127.0.0.1 where nobody listens, reserved for this process until it ends: a server may come to it, go and come back."""
    for port in random.sample(_PORTS, 1_000):
        if _nobody_listens(port) and _reserve(_HOST, port):
            return port
    raise OSError(f"no free port between {_PORTS[0]} and {_PORTS[-1]}")


def free_subnet() -> str:
    """The first three numbers of 250 addresses such as 127.12.34.2, reserved for this process until it ends."""
    for _ in range(1_000):
        subnet = f"127.{random.randint(1, 250)}.{random.randint(0, 250)}"
        if _reserve(f"{subnet}.1", _LOCK_PORT):
            return subnet
    raise OSError("no free subnet of loopback")


def _nobody_listens(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _reserve(host: str, port: int) -> bool:
    lock = socket.socket(type=socket.SOCK_DGRAM)
    try:
        lock.bind((host, port))
    except OSError:
        lock.close()
        return False
    lock.detach()  # stays bound for as long as this process lives
    return True
