"""`junctor`: imports only the command that is used, so that `junctor --help` is quick and a gateway does not load an operator."""

import importlib
import sys
from typing import Final

import click

from junctor import __version__

#: Each command is `junctor.cli.<name>.<name>`; its summary is here so that `--help` needs no import.
COMMANDS: Final = {
    "demo": "See Junctor work in a minute, up to a call by the OpenAI client: no cluster, no network.",
    "standalone": "Run Junctor on a directory of manifests, without Kubernetes.",
    "operator": "Run the control plane in a Kubernetes cluster.",
    "gateway": "Serve the published connectors to applications.",
    "apikey": "Make an API key for a caller of a gateway.",
    "validate": "Check manifests as the API server and the operator would.",
    "render": "Print the connector map that manifests lead to.",
    "registries": "Inspect an MCP registry: which of its servers would become connectors.",
    "status": "Show what a running standalone serves, and which problems it has.",
    "version": "Print the version.",
}
_INTERRUPTED: Final = 130


class LazyGroup(click.Group):
    """A group that imports a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command, in the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"junctor.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: junctor demo. Every command has --help with examples.",
)
@click.version_option(__version__, prog_name="junctor", message="%(prog)s %(version)s")
def junctor() -> None:
    """Declare MCP servers as Kubernetes resources (MCPConnector) and let every application use them by name.

    `kubectl apply` a connector; a moment later every gateway serves its id, without a restart, and the resource's status says so.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted. An error is one line on stderr; a group
    without a command prints its help."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        code = junctor.main(arguments or ["--help"], prog_name="junctor", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        sys.exit(error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "junctor"
        _print_error(f"{command}: {_sentence(error)}; see {command} --help")
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _print_error(f"junctor: {error.format_message()}")
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)


def _print_error(text: str) -> None:
    from junctor.cli.output import print_line

    print_line(text, err=True)


def _sentence(error: click.UsageError) -> str:
    return " ".join(error.format_message().split()).rstrip(".")


if __name__ == "__main__":
    main()
