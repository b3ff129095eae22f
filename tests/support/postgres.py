"""A throw-away PostgreSQL on a socket in a temporary directory, from the system's packages: the database of the official MCP registry.

`python -m tests.support.postgres` makes sure that the packages are there; root on Debian gets them installed.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.cluster.api import wait_for
from tests.cluster.processes import Process
from tests.cluster.tools import ToolError

_PROGRAMS: Final = ("initdb", "postgres", "pg_isready")
_PACKAGES: Final = ("postgresql", "postgresql-contrib")
#: Nothing has to survive.
_SETTINGS: Final = ("listen_addresses=", "fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=16MB")


class Postgres:
    """The server while the context lasts. url: for its clients, with the only role and database, `postgres`."""

    def __init__(self) -> None:
        self._programs = find_postgres()
        # Short, because a socket's path may have 107 characters; not pytest's, which only its owner may enter.
        self._directory = Path(tempfile.mkdtemp(prefix="junctor-pg-"))
        self.url = f"postgres:///postgres?host={self._directory}&user=postgres&sslmode=disable"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _start(self) -> None:
        data, as_user = self._directory / "data", _as_ordinary_user(self._directory)
        initdb = [str(self._programs / "initdb"), "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run([*as_user, *initdb], capture_output=True, text=True, cwd=self._directory)
        if made.returncode:
            raise ToolError(f"initdb failed:\n{made.stdout}{made.stderr}")
        settings = [part for setting in _SETTINGS for part in ("-c", setting)]
        command = [*as_user, str(self._programs / "postgres"), "-D", str(data), "-k", str(self._directory), *settings]
        self._process = Process("postgres", command, log_file=self._directory / "log")
        probe = [str(self._programs / "pg_isready"), "-q", "-h", str(self._directory)]
        wait_for(lambda: subprocess.run(probe).returncode == 0, describe=self._process.tail)


def find_postgres() -> Path:
    """The directory with PostgreSQL's programs. Raises ToolError when they, or the extension pg_trgm, are missing."""
    places = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin")]
    if on_path := shutil.which("postgres"):
        places.append(Path(on_path).parent)
    for place in places:
        if all((place / program).exists() for program in _PROGRAMS) and _has_trigrams(place):
            return place
    raise ToolError(
        "the tests need PostgreSQL with the extension pg_trgm, for the official MCP registry; on Debian and Ubuntu: "
        f"sudo apt-get install {' '.join(_PACKAGES)}"
    )


def _has_trigrams(programs: Path) -> bool:
    # The server finds its files from where it really is.
    asked = subprocess.run([programs.resolve() / "pg_config", "--sharedir"], capture_output=True, text=True)
    return asked.returncode == 0 and (Path(asked.stdout.strip()) / "extension" / "pg_trgm.control").exists()


def _as_ordinary_user(directory: Path) -> list[str]:
    """The beginning of a command line: PostgreSQL refuses to be root, so it becomes somebody else, who gets the directory."""
    if os.geteuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(directory, user.pw_uid, user.pw_gid)
    # The signal on the parent's death, which a process loses when it changes its user.
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=KILL"]


def _install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], ["apt-get", "install", "--yes", "--no-install-recommends", *_PACKAGES]):
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


def main(arguments: Sequence[str] = ()) -> int:
    """Make sure that PostgreSQL is there, and say where."""
    try:
        try:
            found = find_postgres()
        except ToolError:
            if os.geteuid() != 0 or shutil.which("apt-get") is None:
                raise
            print(f"installing the packages {', '.join(_PACKAGES)}, once", file=sys.stderr, flush=True)
            _install()
            found = find_postgres()
    except (ToolError, subprocess.CalledProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"PostgreSQL: {found}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
