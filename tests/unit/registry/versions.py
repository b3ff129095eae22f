"""A server with several versions."""

from tests.support.registry_data import Row, record, remote

NAME = "io.acme/weather"


def versions(*numbers: str) -> list[Row]:
    """One server; the last version is the latest."""
    return [
        record(NAME, version, remotes=[remote(f"https://{version}.example.com/mcp")], latest=version == numbers[-1]) for version in numbers
    ]
