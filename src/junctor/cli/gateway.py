"""`junctor gateway`: one gateway process."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from junctor.cli.options import (
    allow_loopback_option,
    allowed_host_option,
    callers_option,
    gateway_file,
    host_option,
    kubeconfig_option,
    log_options,
    management_port_option,
    port_option,
    upstream_option,
    upstreams_of,
)

if TYPE_CHECKING:
    from junctor.gateway.app import GatewaySettings

EXAMPLE = """
\b
Examples:
  junctor gateway --map configmap:junctor/junctor-connectors
  junctor gateway --map file:map.yaml --port 8321
  junctor gateway --map file:map.yaml --host 0.0.0.0 --callers apikeys:keys.yaml
  JUNCTOR_MAP=file:map.yaml junctor gateway
"""


@click.command(epilog=EXAMPLE, context_settings={"show_default": True})
@click.option(
    "--map",
    "map_",
    required=True,
    envvar="JUNCTOR_MAP",
    show_envvar=True,
    metavar="SOURCE",
    help="Where the connector map is. configmap:NAMESPACE/NAME reads what the operator publishes; file:PATH[#NAME] reads a YAML file "
    "or all files of a directory, as `junctor render` prints them; NAME chooses the map when there are several.",
)
@host_option
@port_option
@click.option(
    "--management-host",
    default="127.0.0.1",
    envvar="JUNCTOR_MANAGEMENT_HOST",
    show_envvar=True,
    help="Address of the management port, which is for the operator's signals and the probes, not for callers.",
)
@management_port_option("Management port; 0: any free one.")
@kubeconfig_option(
    "Kubernetes credentials, for --map configmap:... and --callers kubernetes. "
    "Absent: the pod's service account, $KUBECONFIG or ~/.kube/config."
)
@upstream_option
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="JUNCTOR_GATEWAY_CONFIG",
    show_envvar=True,
    help="A GatewayConfiguration file: model servers by model, with their keys, and networkPolicy. --upstream serves the models that it "
    "does not name.",
)
@allow_loopback_option("the servers of connectors")
@callers_option(kubernetes=True)
@allowed_host_option
@click.option(
    "--poll-seconds",
    default=10.0,
    type=click.FloatRange(min=0.1, max=3600),
    envvar="JUNCTOR_POLL_SECONDS",
    show_envvar=True,
    help="How often to check for a newer map without a signal from the operator.",
)
@log_options("json")
def gateway(
    map_: str,
    host: str,
    port: int,
    management_host: str,
    management_port: int,
    kubeconfig: Path | None,
    upstream: str | None,
    config: Path | None,
    allow_loopback: bool,
    callers: str | None,
    allowed_hosts: tuple[str, ...],
    poll_seconds: float,
) -> None:
    """Serve the published connectors to applications.

    The gateway follows the connector map: it loads the map at start, when the operator signals a new one, and by a slow poll. A map that
    cannot be accepted is reported, and the previous one stays in use. Applications use the public port; the operator and the probes use
    the management port.
    """
    from junctor.gateway.app import GatewaySettings  # imported late: `junctor --help` needs no web server
    from junctor.net.network_policy import CLUSTER_POLICY

    file = gateway_file(config)
    network = CLUSTER_POLICY if file is None else file.network_policy.policy()
    settings = GatewaySettings(
        map=map_,
        host=host,
        port=port,
        management_host=management_host,
        management_port=management_port,
        kubeconfig=kubeconfig,
        callers=callers,
        allowed_hosts=allowed_hosts,
        poll_seconds=poll_seconds,
        upstreams=upstreams_of(file, upstream),
        network=network.with_loopback() if allow_loopback else network,
    )
    _serve(settings)


def _serve(settings: "GatewaySettings") -> None:
    """Run the gateway until a signal ends it. Raises ClickException when it cannot start."""
    import logging

    import uvloop

    from junctor.gateway import GatewayError
    from junctor.gateway.app import serve
    from junctor.gateway.serving.sources import SourceError
    from junctor.gateway.web.server import Listening

    def started(listening: Listening) -> None:
        addresses = {"url": listening.url, "managementUrl": listening.management_url}
        logging.getLogger("junctor.gateway").info(
            "listening on %s, management on %s", listening.url, listening.management_url, extra=addresses
        )

    try:
        uvloop.run(serve(settings, started=started))
    except (GatewayError, SourceError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    gateway()
