"""Runs the demo's servers on a socket that is handed to them."""

import socket

import uvicorn
from starlette.types import ASGIApp


def serve(app: ASGIApp, descriptor: int) -> None:
    """Serve an ASGI app on the listening socket with this file descriptor, until SIGTERM or SIGINT."""
    with socket.socket(fileno=descriptor) as listener:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none")).run([listener])
