"""The peer that the gateway is measured against: agentic-server of the wheel agentic-api, pinned, in an environment of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.bench.system import say
from tests.cluster.processes import Process

VERSION: Final = "0.9.0"
_REQUIREMENT: Final = f"agentic-api=={VERSION} --hash=sha256:3d424fd23a9ddc4b4e7ae67c14633c7c852ce6ef2980114c228e5e6e1ccdd130\n"


class PeerMissing(Exception):
    """The peer could not be installed; the message says why."""


def installed() -> Path:
    """The path of agentic-server; installed on first use, in the user's cache. Raises PeerMissing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = Path(os.environ.get("JUNCTOR_CACHE") or base / "junctor") / f"agentic-api-{VERSION}"
    server = directory / "bin" / "agentic-server"
    if not server.exists():
        say(f"installing agentic-api {VERSION}, once")
        try:
            _run(sys.executable, "-m", "venv", str(directory))
            (directory / "requirements.txt").write_text(_REQUIREMENT)
            pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:")
            _run(*pip, "--require-hashes", "-r", str(directory / "requirements.txt"))
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise PeerMissing(f"agentic-api {VERSION} cannot be installed: {said[-1] if said else type(error).__name__}") from error
    return server


def peer(server: Path, upstream: str, port: int, work: Path) -> Process:
    """Start it in front of a model server; servers of requests may be on the loopback."""
    command = [str(server), "--llm-api-base", upstream, "--gateway-host", "127.0.0.1", "--gateway-port", str(port)]
    environment = {"AGENTIC_API_HOME": str(work / "agentic"), "AGENTIC_MCP_ALLOWED_HOSTS": "127.0.0.1", "RUST_LOG": "error"}
    return Process("agentic-server", [*command, "--skip-llm-ready-check"], log_file=work / "agentic.log", environment=environment)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
