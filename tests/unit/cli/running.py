"""Runs `junctor` as `main` does, in this process."""

import sys
from dataclasses import dataclass

from click.testing import CliRunner

from junctor.cli import main


@dataclass(frozen=True, slots=True)
class Result:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


def run(*arguments: str, stdin: str = "") -> Result:
    """Run `junctor` with these arguments."""
    runner = CliRunner()
    with runner.isolation(input=stdin) as streams:
        try:
            main.main(list(arguments))
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        sys.stdout.flush()
        sys.stderr.flush()
        return Result(code, streams[0].getvalue().decode(), streams[1].getvalue().decode())
