"""`junctor standalone`: the reconcile loop and a gateway on a directory of manifests."""

from pathlib import Path

import click

from junctor.cli.options import (
    allowed_host_option,
    callers_option,
    host_option,
    log_options,
    management_port_option,
    port_option,
    upstream_option,
    upstreams_of,
)

EXAMPLE = """
\b
Examples:
  junctor standalone --manifests ./connectors
  junctor standalone --manifests ./connectors --port 9000 --management-port 9001
  junctor status                     # in another terminal: what kubectl would show
  curl localhost:8321/v1/connectors  # what applications see
"""


@click.command(epilog=EXAMPLE, context_settings={"show_default": True})
@click.option(
    "--manifests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    envvar="JUNCTOR_MANIFESTS",
    show_envvar=True,
    help="Directory of MCPConnector, MCPRegistry, Secret and Namespace manifests (.yaml, .yml, .json, subdirectories too). "
    "Changes take effect at once.",
)
@host_option
@port_option
@management_port_option("Port on 127.0.0.1 for probes and `junctor status`; 0: any free one.")
@upstream_option
@callers_option(kubernetes=False)
@allowed_host_option
@log_options("text")
def standalone(
    manifests: Path,
    host: str,
    port: int,
    management_port: int,
    upstream: str | None,
    callers: str | None,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Run Junctor without Kubernetes, on a directory of the same manifests.

    The same loop that runs in a cluster plans, publishes and reports; the gateway runs in the same process. Put a manifest into the
    directory, change it or delete it: applications see the change within a fraction of a second. Problems are logged and shown by
    `junctor status`, and they affect nothing else.
    """
    # Imported late: `junctor --help` needs no web server.
    import logging

    import uvloop

    from junctor.gateway import GatewayError
    from junctor.gateway.web.server import Listening
    from junctor.standalone.app import StandaloneSettings, serve_standalone

    settings = StandaloneSettings(manifests, host, port, management_port, callers, allowed_hosts, upstreams_of(None, upstream))

    def started(listening: Listening) -> None:
        addresses = {"url": listening.url, "managementUrl": listening.management_url}
        logging.getLogger("junctor.standalone").info(
            "listening on %s, management on %s, manifests in %s", listening.url, listening.management_url, manifests, extra=addresses
        )

    try:
        uvloop.run(serve_standalone(settings, started=started))
    except GatewayError as error:
        raise click.ClickException(str(error)) from error
