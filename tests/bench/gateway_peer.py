"""The peers that the gateway is measured against, pinned, each in an environment of its own: agentic-server and ogx."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from tests.bench.gateway_load import Served, Work, WrongAnswer
from tests.bench.system import say
from tests.cluster.processes import Process

AGENTIC: Final = "agentic-api-0.9.0"
OGX: Final = "ogx-1.5.0"
#: So long a peer may take for one answer.
SECONDS: Final = 5.0
_AGENTIC_LOCK: Final = "agentic-api==0.9.0 --hash=sha256:3d424fd23a9ddc4b4e7ae67c14633c7c852ce6ef2980114c228e5e6e1ccdd130\n"
#: Made by pip-compile on Python 3.12 from: ogx==1.5.0, mcp, aiosqlite and sqlalchemy[asyncio], which its providers below ask for.
_OGX_LOCK: Final = Path(__file__).with_name("ogx.lock")


class PeerMissing(Exception):
    """A peer could not be installed; the message says why."""


@dataclass(frozen=True)
class Peer:
    """A peer that runs. share: of the work of the others, when it is slow. errors: what went wrong, which does not end a run."""

    process: Process
    url: str
    served: Served
    by_url: bool
    share: float = 1.0
    errors: list[str] = field(default_factory=list)

    def server(self, connector: str, url: str) -> dict[str, str]:
        """How a tool names the server."""
        return {"server_url": url} if self.by_url else {"connector_id": connector}


class Forgiven:
    """A peer's work: what goes wrong is kept and takes the time it took. agentic-server sometimes waits for a tool until its deadline."""

    def __init__(self, work: Work, errors: list[str]) -> None:
        self._work = work
        self._errors = errors

    async def __call__(self, number: int) -> None:
        try:
            await self._work(number)
        except (WrongAnswer, httpx.HTTPError) as error:
            say(f"  a peer failed: {type(error).__name__}: {str(error)[:500]}")
            self._errors.append(str(error))


def agentic(upstream: str, port: int, work: Path) -> Peer:
    """agentic-server in front of a model server; requests name servers by URL, on the loopback too. Raises PeerMissing."""
    program = _installed(AGENTIC, _AGENTIC_LOCK, sys.executable, "--no-deps") / "agentic-server"
    command = [str(program), "--llm-api-base", upstream, "--gateway-host", "127.0.0.1", "--gateway-port", str(port)]
    environment = {"AGENTIC_API_HOME": str(work / "agentic"), "AGENTIC_MCP_ALLOWED_HOSTS": "127.0.0.1", "RUST_LOG": "error"}
    process = Process("agentic-server", [*command, "--skip-llm-ready-check"], log_file=work / "agentic.log", environment=environment)
    return Peer(process, f"http://127.0.0.1:{port}", Served(), by_url=True)


def ogx(upstream: str, port: int, work: Path, connectors: Mapping[str, str]) -> Peer:
    """ogx in front of a model server, with connectors (URLs by id) and little logging. Raises PeerMissing."""
    program = _installed(OGX, _OGX_LOCK.read_text("utf-8"), _python312()) / "ogx"
    home = work / "ogx"
    home.mkdir()
    configuration = home / "config.yaml"
    configuration.write_text(json.dumps(_ogx_configuration(upstream, port, home, connectors)))
    command = [str(program), "run", "--insecure", "--port", str(port), str(configuration)]
    environment = {"HOME": str(home), "OGX_LOGGING": "all=error"}
    process = Process("ogx", command, log_file=work / "ogx.log", environment=environment)
    return Peer(process, f"http://127.0.0.1:{port}", Served("vllm/scripted", tool_prefix=""), by_url=False, share=0.1)


def _ogx_configuration(upstream: str, port: int, home: Path, connectors: Mapping[str, str]) -> dict[str, Any]:
    def one(name: str, kind: str, **config: Any) -> list[dict[str, Any]]:
        return [{"provider_id": name, "provider_type": kind, "config": config}]

    def table(name: str) -> dict[str, str]:
        return {"table_name": name, "backend": "sql"}

    return {
        "version": 2,
        "distro_name": "bench",
        "apis": ["files", "inference", "responses", "tool_runtime", "vector_io"],
        "providers": {
            "inference": one("vllm", "remote::vllm", base_url=f"{upstream}/v1", api_token="none"),
            "vector_io": [],
            "files": one("files", "inline::localfs", storage_dir=str(home / "files"), metadata_store=table("files")),
            "responses": one("builtin", "inline::builtin", persistence={"responses": table("responses")}),
            "tool_runtime": one("mcp", "remote::model-context-protocol"),
        },
        "storage": {
            "backends": {
                "kv": {"type": "kv_sqlite", "db_path": str(home / "kv.db")},
                "sql": {"type": "sql_sqlite", "db_path": str(home / "sql.db")},
            },
            "stores": {
                "metadata": {"namespace": "registry", "backend": "kv"},
                "inference": table("inference") | {"enabled": False},
                **{name: table(name) for name in ("conversations", "prompts", "connectors")},
            },
        },
        "connectors": [{"connector_id": name, "connector_type": "mcp", "url": url} for name, url in connectors.items()],
        "server": {"host": "127.0.0.1", "port": port},
    }


def _python312() -> str:
    """A Python that ogx runs on. Raises PeerMissing."""
    for command in _pythons():
        with suppress(OSError, subprocess.SubprocessError):
            return _run(command, "-c", "import sys; assert sys.version_info[:2] == (3, 12); print(sys.executable)").strip()
    raise PeerMissing(f"{OGX} needs python3.12 on the PATH")


def _pythons() -> Iterable[str]:
    yield "python3.12"
    # Where pyenv's own python3.12 only works once a version is chosen.
    yield from map(str, (Path.home() / ".pyenv" / "versions").glob("3.12.*/bin/python"))


def _installed(name: str, lock: str, python: str, *options: str) -> Path:
    """The directory of a peer's programs; installed on first use, in the user's cache. Raises PeerMissing."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    directory = Path(os.environ.get("JUNCTOR_CACHE") or base / "junctor") / name
    done = directory / "installed.lock"
    if not done.exists() or done.read_text("utf-8") != lock:
        say(f"installing {name}, once")
        requirements = directory / "requirements.txt"
        try:
            _run(python, "-m", "venv", "--clear", str(directory))
            requirements.write_text(lock, "utf-8")
            pip = (str(directory / "bin" / "python"), "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *options)
            _run(*pip, "--require-hashes", "-r", str(requirements))
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise PeerMissing(f"{name} cannot be installed: {said[-1] if said else type(error).__name__}") from error
        requirements.rename(done)
    return directory / "bin"


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
