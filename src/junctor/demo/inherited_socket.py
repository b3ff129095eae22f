"""Runs an ASGI app on a listening socket that the parent process passed on."""

import socket

import uvicorn
from starlette.types import ASGIApp


def serve(app: ASGIApp, descriptor: int) -> None:
    """Serve an ASGI app on the listening socket with this file descriptor, until SIGTERM or SIGINT."""
    with socket.socket(fileno=descriptor) as listener:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none")).run([listener])
