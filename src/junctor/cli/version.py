"""`junctor version`."""

import json
import platform

import click


@click.command(epilog="Example: junctor version -o json")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format of the output.")
def version(output: str) -> None:
    """Print the versions of Junctor, of the resources and the map format that it supports, and of Python."""
    from junctor import __version__
    from junctor.api.names import API_VERSION
    from junctor.connectormap.head import SCHEMA

    known = {"junctor": __version__, "resources": API_VERSION, "connectorMap": SCHEMA, "python": platform.python_version()}
    if output == "json":
        click.echo(json.dumps(known))
        return
    for name, value in known.items():
        click.echo(f"{name}: {value}")
