"""Options that several commands have. Each also reads its JUNCTOR_* variable and shows it in --help."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import click

from junctor.logs import configure_logging

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

host_option = click.option("--host", default="127.0.0.1", envvar="JUNCTOR_HOST", show_envvar=True, help="Address of the public port.")
port_option = click.option(
    "--port", default=8321, type=click.IntRange(0, 65535), envvar="JUNCTOR_PORT", show_envvar=True, help="Public port; 0: any."
)
callers_option = click.option(
    "--callers",
    type=click.Choice(["none"]),
    envvar="JUNCTOR_CALLERS",
    show_envvar=True,
    help="Who may call. none: everybody, unchecked. Must be given when --host is not a loopback address; on loopback everybody is let in.",
)


def management_port_option(help_text: str) -> Decorator:
    """--management-port."""
    return click.option(
        "--management-port",
        default=8322,
        type=click.IntRange(0, 65535),
        envvar="JUNCTOR_MANAGEMENT_PORT",
        show_envvar=True,
        help=help_text,
    )


def kubeconfig_option(help_text: str) -> Decorator:
    """--kubeconfig."""
    return click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="JUNCTOR_KUBECONFIG",
        show_envvar=True,
        help=help_text,
    )


def log_options(default_format: Literal["json", "text"]) -> Decorator:
    """--log-format and --log-level, which take effect as they are read: the command has no parameters for them."""

    def configure(context: click.Context, parameter: click.Parameter, level: str) -> None:
        configure_logging(context.params.pop("log_format", default_format), level)

    level = click.option(
        "--log-level",
        default="info",
        type=click.Choice(["debug", "info", "warning", "error"]),
        envvar="JUNCTOR_LOG_LEVEL",
        show_envvar=True,
        expose_value=False,
        callback=configure,
        help="Least severity that is logged.",
    )
    form = click.option(
        "--log-format",
        default=default_format,
        type=click.Choice(["json", "text"]),
        envvar="JUNCTOR_LOG_FORMAT",
        show_envvar=True,
        is_eager=True,
        help="Form of the logs.",
    )
    return lambda command: form(level(command))
