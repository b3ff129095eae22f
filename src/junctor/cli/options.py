"""Options and arguments that several commands share. Options with a JUNCTOR_* variable show it in --help."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from junctor.logs import configure_logging

if TYPE_CHECKING:
    from junctor.api.configuration import OperatorConfiguration
    from junctor.gateway.config import GatewayFile, UpstreamConfiguration

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

host_option = click.option("--host", default="127.0.0.1", envvar="JUNCTOR_HOST", show_envvar=True, help="Address of the public port.")
port_option = click.option(
    "--port", default=8321, type=click.IntRange(0, 65535), envvar="JUNCTOR_PORT", show_envvar=True, help="Public port; 0: any free one."
)

allowed_host_option = click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    envvar="JUNCTOR_ALLOWED_HOST",
    show_envvar=True,
    metavar="NAME",
    help="A host name under which callers without a key reach the gateway, for example behind a proxy; may be given several times. "
    "On a loopback address, only localhost and loopback addresses are served otherwise, which keeps web pages out.",
)

manifests_argument = click.argument("paths", metavar="FILE|DIR|-...", nargs=-1, required=True)
operator_config_option = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The operator's configuration (OperatorConfiguration): gateways, selectors, idPolicies. Absent: one gateway that selects all.",
)

upstream_option = click.option(
    "--upstream",
    envvar="JUNCTOR_UPSTREAM",
    show_envvar=True,
    metavar="URL",
    help="Model server for all models: vLLM or any other server with /v1/chat/completions. Without one, there is no /v1/responses.",
)


def allow_loopback_option(whose: str) -> Decorator:
    """Return --allow-loopback. whose: what may be at loopback addresses."""
    return click.option(
        "--allow-loopback",
        is_flag=True,
        envvar="JUNCTOR_ALLOW_LOOPBACK",
        show_envvar=True,
        help=f"Let {whose} be on this machine, for development. In a pod they would reach the pod itself.",
    )


def callers_option(*, kubernetes: bool) -> Decorator:
    """Return --callers. kubernetes: whether a cluster can review tokens."""
    tokens = "kubernetes: tokens of the cluster for the audience junctor, reviewed by its API server. " if kubernetes else ""
    forms = "apikeys:FILE, kubernetes or none" if kubernetes else "apikeys:FILE or none"
    possible = {"kubernetes", "none"} if kubernetes else {"none"}

    def check(context: click.Context, parameter: click.Parameter, who: str | None) -> str | None:
        if who is None or who in possible or who.removeprefix("apikeys:") not in ("", who):
            return who
        raise click.BadParameter(f"{who!r} is not a valid way to identify callers; write {forms}")

    return click.option(
        "--callers",
        envvar="JUNCTOR_CALLERS",
        show_envvar=True,
        metavar="WHO",
        callback=check,
        help="Who may call. apikeys:FILE: callers with a key of `junctor apikey` in the file, which is read again when it changes. "
        f"{tokens}none: everybody, unchecked. Required unless --host is a loopback address, where everybody may call by default.",
    )


def management_port_option(help_text: str) -> Decorator:
    """Return --management-port."""
    return click.option(
        "--management-port",
        default=8322,
        type=click.IntRange(0, 65535),
        envvar="JUNCTOR_MANAGEMENT_PORT",
        show_envvar=True,
        help=help_text,
    )


def kubeconfig_option(help_text: str) -> Decorator:
    """Return --kubeconfig."""
    return click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        envvar="JUNCTOR_KUBECONFIG",
        show_envvar=True,
        help=help_text,
    )


def log_options(default_format: Literal["json", "text"]) -> Decorator:
    """Return --log-format and --log-level. They take effect when they are parsed; the command has no parameters for them."""

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
        help="Lowest severity that is logged.",
    )
    form = click.option(
        "--log-format",
        default=default_format,
        type=click.Choice(["json", "text"]),
        envvar="JUNCTOR_LOG_FORMAT",
        show_envvar=True,
        is_eager=True,
        help="Format of the logs.",
    )
    return lambda command: form(level(command))


def operator_configuration(file: Path) -> "OperatorConfiguration":
    """Read the operator's configuration. Raises click.UsageError."""
    from junctor.api.configuration import parse_configuration
    from junctor.net.configuration import ConfigurationError

    try:
        return parse_configuration(file.read_text(encoding="utf-8"), str(file))
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{file}: is not UTF-8 text") from error
    except (ConfigurationError, OSError) as error:
        raise click.UsageError(_one_line(error)) from error


def gateway_file(config: Path | None) -> "GatewayFile | None":
    """Read the gateway's configuration file, if there is one. Raises click.UsageError."""
    if config is None:
        return None
    # Imported late: a gateway without a file does not need it.
    from junctor.gateway.config import read_configuration
    from junctor.net.configuration import ConfigurationError

    try:
        return read_configuration(config)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error


def upstreams_of(file: "GatewayFile | None", upstream: str | None) -> "tuple[UpstreamConfiguration, ...]":
    """Return the model servers of a configuration file, then the one for all other models. Raises click.UsageError."""
    named = () if file is None else file.upstreams
    if upstream is None:
        return named
    from junctor.gateway.config import only_upstream
    from junctor.net.configuration import ConfigurationError

    try:
        return (*named, only_upstream(upstream))
    except ConfigurationError as error:
        raise click.UsageError(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    """Return the faults of a configuration file, which have a line each, in one line."""
    return "; ".join(str(error).splitlines())
