"""`junctor demo`: the whole story in one command, on this computer, checked step by step."""

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from junctor.cli import demo_steps

EXAMPLE = """
\b
Examples:
  junctor demo
  junctor demo --keep    # leaves the manifests for you to look at
"""


@click.command(epilog=EXAMPLE)
@click.option("--keep", is_flag=True, help="Keep the directory of manifests.")
def demo(keep: bool) -> None:
    """See Junctor at work in a minute: no cluster, no network, nothing left behind.

    Starts `junctor standalone` on a temporary directory and free ports, then applies, lists, changes, breaks, heals and removes
    connectors, and says what happens. Each step is checked; exit code 1 when one does not do what it says.
    """
    directory = Path(tempfile.mkdtemp(prefix="junctor-demo-"))
    manifests = directory / "connectors"
    manifests.mkdir()
    try:
        with demo_steps.Standalone(manifests, directory / "standalone.log") as standalone:
            story = demo_steps.Story(standalone, click.echo)
            story.tell()
    except demo_steps.Failed as failure:
        raise click.ClickException(f"the demo failed: {failure}\nThe log of the standalone:\n{_log(directory)}") from failure
    except (OSError, subprocess.SubprocessError) as error:
        raise click.ClickException(f"the demo could not run: {error}") from error
    finally:
        if keep:
            click.echo(f"The manifests are in {manifests}")
        else:
            _remove(directory)
    click.echo(demo_steps.FAREWELL)


def _log(directory: Path) -> str:
    try:
        lines = (directory / "standalone.log").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        return f"(cannot be read: {error})"
    return "\n".join(f"  {line}" for line in lines[-20:])


def _remove(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(demo.main())
