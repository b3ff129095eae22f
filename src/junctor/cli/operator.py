"""`junctor operator`: the control plane."""

import re
import socket
import sys
from pathlib import Path

import click

from junctor.cli.options import allow_loopback_option, kubeconfig_option, log_options, operator_configuration
from junctor.cli.output import print_line


def _namespaces(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    """Reject invalid names: an unknown namespace looks empty, and its connectors would be removed."""
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise click.BadParameter(f"{name!r} is not a valid namespace name")
    return names


def _check_health_address(host: str, port: int) -> None:
    """Report an address that cannot be used in one line, because kopf would end with a traceback."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: ports of ended connections are free
            probe.bind(address)
            probe.listen()
    except OSError as error:
        message = f"cannot listen on {host} port {port}: {error}; choose another with --health-host or --health-port"
        raise click.ClickException(message) from error


@click.command(
    epilog="Example: junctor operator --config operator.yaml --kubeconfig ~/.kube/config",
)
@click.option(
    "--config",
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    envvar="JUNCTOR_CONFIG",
    show_envvar=True,
    help="The operator's configuration (OperatorConfiguration): the gateways and what they select.",
)
@kubeconfig_option("Kubernetes credentials. Absent: the pod's service account, $KUBECONFIG or ~/.kube/config.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    callback=_namespaces,
    envvar="JUNCTOR_NAMESPACE",
    show_envvar=True,
    help="Watch connectors only in this namespace; may be given several times. Default: all namespaces.",
)
@click.option(
    "--health-host",
    default="0.0.0.0",  # noqa: S104 - the kubelet probes the pod's address
    show_default=True,
    envvar="JUNCTOR_HEALTH_HOST",
    show_envvar=True,
    help="Address of the liveness endpoint /healthz.",
)
@click.option(
    "--health-port",
    default=8080,
    show_default=True,
    type=click.IntRange(0, 65535),
    envvar="JUNCTOR_HEALTH_PORT",
    show_envvar=True,
    help="Port of the liveness endpoint; 0 turns it off.",
)
@allow_loopback_option("registries")
@log_options("json")
def operator(
    config: Path, kubeconfig: Path | None, namespaces: tuple[str, ...], health_host: str, health_port: int, allow_loopback: bool
) -> None:
    """Turn MCPConnector resources into the connector maps of the gateways, and report in each resource's status what they serve."""
    import uvloop

    from junctor.kube.client import CredentialsError
    from junctor.operator.app import OperatorSettings, run_operator
    from junctor.reconcile.ports import Superseded

    configuration = operator_configuration(config)
    if namespaces and configuration.needs_namespaces:
        raise click.UsageError("namespaceSelector reads the labels of all namespaces, so it cannot be used with --namespace; remove one")
    if health_port:
        _check_health_address(health_host, health_port)
    settings = OperatorSettings(configuration, kubeconfig, namespaces, health_host, health_port, allow_loopback)
    try:
        uvloop.run(run_operator(settings))
    except CredentialsError as error:
        raise click.ClickException(str(error)) from error
    except Superseded as error:
        print_line(str(error), err=True)
        sys.exit(1)
