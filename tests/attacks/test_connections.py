"""Connections that say nothing fill the public port."""

import resource
import sys
from pathlib import Path

from tests.cluster.processes import Process
from tests.support.attacks import RawConnection, bystander
from tests.support.running_gateway import STANDALONE
from tests.support.running_standalone import listening_addresses

DESCRIPTORS = 256


def test_silent_connections_do_not_keep_the_probes_out(tmp_path: Path) -> None:
    (tmp_path / "manifests").mkdir()
    limited = f"import resource, runpy, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS})); "
    run = "sys.argv = sys.argv[1:]; runpy.run_module('junctor.cli.main', run_name='__main__')"
    options = ("standalone", "--manifests", tmp_path / "manifests", "--port", "0", "--management-port", "0")
    command = [sys.executable, "-c", limited + run, STANDALONE[1], *map(str, options)]
    with Process("standalone", command, log_file=tmp_path / "log") as process:
        url, management = listening_addresses(process)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2048)), hard))
        silent = [RawConnection(url) for _ in range(300)]
        with bystander(f"{management}/-/livez", reuse=False) as probes:
            while len(probes.latencies) < 10:
                assert process.running
            refused = silent[-1].receive()
            assert b" 503 " in refused
            assert b"Retry-After: 1\r\n".lower() in refused.lower()
            # Those that were let in are closed when their time is over.
            assert all(connection.closed_within(60) for connection in silent)
        assert not probes.failures
        with bystander(f"{url}/v1/connectors") as callers:
            pass
        assert not callers.failures
        for connection in silent:
            connection.close()
    assert "connections were refused" in process.log()
