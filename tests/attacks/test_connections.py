"""Connections that say nothing, or never finish what they say, fill the ports."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.processes import Process
from tests.support.attacks import RawConnection, bystander, post_head
from tests.support.running_gateway import STANDALONE
from tests.support.running_standalone import listening_addresses

#: Of the process, and the connections of callers that it takes with so many.
DESCRIPTORS = 256
PUBLIC = 96
CONNECTIONS = 300


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[tuple[Process, str, str]]:
    """A process with few descriptors, the URL of its API, and that of its management port."""
    (tmp_path / "manifests").mkdir()
    limited = f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS})); "
    run = "sys.argv = sys.argv[1:]; runpy.run_module('junctor.cli.main', run_name='__main__')"
    options = (
        "standalone",
        "--manifests",
        tmp_path / "manifests",
        "--port",
        "0",
        "--management-port",
        "0",
        "--upstream",
        "http://127.0.0.1:9",
    )
    command = [sys.executable, "-c", limited + run, STANDALONE[1], *map(str, options)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
    with Process("standalone", command, log_file=tmp_path / "log") as process:
        url, management = listening_addresses(process)
        process.wait_until_ready(f"{management}/-/readyz")
        yield process, url, management


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\n", b"GET /none HTTP/1.1\r\nHost: localhost\r\n\r\n"])
def test_connections_without_a_request_give_way_to_others(victim: tuple[Process, str, str], beginning: bytes) -> None:
    process, url, management = victim
    with ExitStack() as held:
        silent = [held.enter_context(RawConnection(target)) for target in (url, management) for _ in range(CONNECTIONS)]
        for connection in silent:
            connection.send(beginning)
        with (
            bystander(f"{management}/-/livez", reuse=False) as probes,
            bystander(f"{url}/v1/connectors", reuse=False) as callers,
        ):
            while min(len(probes.latencies), len(callers.latencies)) < 10:
                assert process.running
        assert not probes.failures + callers.failures
        assert all(connection.closed_within(5) for connection in silent[: CONNECTIONS - 100])
        # Those that stay are closed when their time is over.
        assert beginning or all(connection.closed_within(60) for connection in silent)
    _wait_for_line(process, "connections without a request gave way to others")


def test_requests_in_progress_do_not_keep_the_probes_out(victim: tuple[Process, str, str]) -> None:
    process, url, management = victim
    with ExitStack() as held:
        for _ in range(PUBLIC):
            connection = held.enter_context(RawConnection(url))
            connection.send(post_head(url, "/v1/responses", 100, Expect="100-continue"))
            assert b"100 Continue" in connection.receive(b"\r\n\r\n")
        refused = held.enter_context(RawConnection(url)).receive()
        assert b" 503 " in refused
        assert b"Retry-After: 1\r\n".lower() in refused.lower()
        with bystander(f"{management}/-/livez", reuse=False) as probes:
            while len(probes.latencies) < 10:
                assert process.running
        assert not probes.failures
    with bystander(f"{url}/v1/connectors") as callers:
        pass
    assert not callers.failures
    _wait_for_line(process, "connections were refused")


def _wait_for_line(process: Process, text: str) -> None:
    """Wait for a line of the log, which the gateway writes once a second."""
    deadline = time.monotonic() + 30
    while text not in process.log():
        assert time.monotonic() < deadline, process.tail()
        time.sleep(0.1)
