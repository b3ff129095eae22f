"""Programs of npm that the tests run: MCP's reference server and OpenAI's client for JavaScript, pinned in tests/support/npm.

`python -m tests.support.node` makes sure that they are there, and prints where.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

_NPM = Path(__file__).parent / "npm"


def node() -> str:
    """The path of Node. Raises RuntimeError when it or npm is missing."""
    return _programs()[0]


def node_modules() -> Path:
    """The directory with the packages; installed on first use, in a cache, by one process at a time."""
    lock_file = (_NPM / "package-lock.json").read_bytes()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(os.environ.get("JUNCTOR_CACHE") or Path(base) / "junctor")
    cache.mkdir(parents=True, exist_ok=True)
    directory = cache / f"npm-{hashlib.sha256(lock_file).hexdigest()[:16]}"
    if not directory.exists():
        with (cache / "npm.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not directory.exists():
                _install(_programs()[1], directory)
    return directory / "node_modules"


def _programs() -> tuple[str, str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise RuntimeError("the tests need Node 20 or newer with npm, for the MCP reference server and OpenAI's client")
    return node, npm


def _install(npm: str, directory: Path) -> None:
    print("installing the packages of tests/support/npm, once", file=sys.stderr, flush=True)
    building = directory.with_suffix(".building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_NPM / name, building)
    subprocess.run([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=building, check=True, stdout=sys.stderr, timeout=600)
    building.rename(directory)


def main() -> int:
    """Install the packages if they are missing, and say where they are."""
    try:
        print(f"npm packages: {node_modules()}", flush=True)
    except (RuntimeError, subprocess.SubprocessError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
