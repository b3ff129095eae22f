"""`junctor demo`: every feature in one command on this computer, checked step by step."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from junctor.demo.checks import Checks, StepFailed
from junctor.demo.client_steps import new_parcel
from junctor.demo.processes import DemoProcess, DemoServer, Standalone, isolate
from junctor.demo.standalone_client import StandaloneClient
from junctor.demo.steps import FAREWELL, DemoSteps

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

    Starts `junctor standalone`, a small MCP server and a scripted model on free ports. Applies, lists, changes, breaks, repairs and
    removes connectors, and calls one with the OpenAI client, plain and streaming. Each step is checked; the exit code is 1 when one fails.
    Needs the optional extra `demo`: the OpenAI client.
    """
    if importlib.util.find_spec("openai") is None:
        install = f"{sys.executable} -m pip install 'junctor[demo]'"
        raise click.ClickException(f"the demo calls a connector with the OpenAI client, which is not installed: {install}, or make demo")
    isolate()
    directory = Path(tempfile.mkdtemp(prefix="junctor-demo-"))
    try:
        _run(directory)
    finally:
        if keep:
            click.echo(f"The manifests are in {directory / 'connectors'}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    click.echo(FAREWELL)


def _run(directory: Path) -> None:
    manifests = directory / "connectors"
    manifests.mkdir()
    parcel = new_parcel()
    model = DemoServer("the scripted model", "model_server", directory / "model.log")
    server = DemoServer("the MCP server", "mcp_server", directory / "server.log", parcel)
    processes: list[DemoProcess] = [model, server]
    try:
        with ExitStack() as stack:
            stack.enter_context(model)
            stack.enter_context(server)
            standalone = Standalone(manifests, directory / "standalone.log", upstream=model.url)
            processes.append(standalone)
            stack.enter_context(standalone)
            checks = Checks(click.echo)
            client = stack.enter_context(StandaloneClient(standalone, checks))
            DemoSteps(client, checks, server=server.url, parcel=parcel).run()
    except StepFailed as failure:
        raise click.ClickException("\n".join([f"the demo failed: {failure}", *(process.tail() for process in processes)])) from failure
    except (OSError, subprocess.SubprocessError) as error:
        raise click.ClickException(f"the demo could not run: {error}") from error
