"""MCP servers for tests, on real sockets: the reference server in Node, the Python SDK's in both eras, one that misbehaves by script."""

import asyncio
import contextlib
import gc
import itertools
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from mcp.server.mcpserver import Context, MCPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.support.listening import Listener
from tests.support.node import node, node_modules
from tests.support.ports import free_port

_START_SECONDS = 60.0


# --- running an app on a socket -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(app: ASGIApp, port: int = 0, *, tls: tuple[Path, Path] | None = None) -> AsyncIterator[str]:
    """Serve an ASGI app on the loopback in this event loop; gives `http://127.0.0.1:<port>`. All connections are closed at the end."""
    config = uvicorn.Config(app, log_level="critical", ws="none", lifespan="on", timeout_graceful_shutdown=1)
    if tls is not None:
        config.ssl_certfile, config.ssl_keyfile = map(str, tls)
    server = uvicorn.Server(config)
    listener = Listener.on(port)
    url = f"{'https' if tls else 'http'}://127.0.0.1:{listener.port}"
    task = asyncio.create_task(server._serve([listener]))  # `serve` would take the signals of the test's process
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  # uvicorn has no event for it
            await asyncio.sleep(0.005)
        yield url
    finally:
        await _stop(server, listener, task)
        # What this test leaves unclosed is reported here, not in the middle of another test.
        gc.collect()


async def _stop(server: uvicorn.Server, listener: Listener, task: asyncio.Task[None]) -> None:
    server.should_exit = server.force_exit = True
    for connection in list(server.server_state.connections):
        if transport := getattr(connection, "transport", None):
            transport.abort()
    # Clients may come again until uvicorn closes the listener, and from Python 3.12 on it waits for all of them.
    while not task.done():  # each turn ends those that came since
        listener.shut_down_connections()
        await asyncio.sleep(0.005)
    await task
    await listener.close_connections()
    for left in list(server.server_state.tasks):
        left.cancel()
    await asyncio.gather(*server.server_state.tasks, return_exceptions=True)
    # A forced exit leaves it out; the task would be destroyed at any time later, in the middle of another test.
    await server.lifespan.shutdown()
    listener.close()


def self_signed(directory: Path, *names: str) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and for DNS names, that is its own authority; and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "junctor test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "server.pem", directory / "server.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths


# --- the Python SDK's server --------------------------------------------------------------------------------------------------------


def sdk_server() -> MCPServer:
    """A server with a few tools: echo, add (structured), fails, slow, grow (adds a tool and says so)."""
    server = MCPServer("junctor-test", log_level="CRITICAL")
    numbers = itertools.count()

    @server.tool()
    def echo(message: str) -> str:
        """Say it again."""
        return f"Echo: {message}"

    @server.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @server.tool()
    def fails() -> str:
        """Fail."""
        raise ValueError("this tool always fails")

    @server.tool()
    async def slow(seconds: float) -> str:
        """Take a while."""
        await asyncio.sleep(seconds)
        return "done"

    @server.tool()
    async def grow(ctx: Context[Any, Any]) -> str:
        """Add a tool."""

        def grown() -> str:
            return "grown"

        server.add_tool(grown, name=f"grown{next(numbers)}")
        await ctx.session.send_tool_list_changed()  # handshake era: on the session's stream
        await ctx.notify_tools_changed()  # later: to those who listen
        return "ok"

    return server


class LegacyOnly:
    """Makes an MCP app one of the handshake era: it does not know server/discover. methods: what was asked, in order."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.methods: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        method = str(json.loads(body).get("method"))
        self.methods.append(method)
        if method == "server/discover":
            error = {"jsonrpc": "2.0", "id": json.loads(body).get("id"), "error": {"code": -32601, "message": "Method not found"}}
            await JSONResponse(error)(scope, receive, send)
            return
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)


# --- a server by script -------------------------------------------------------------------------------------------------------------

Answer = Callable[[dict[str, Any]], Awaitable[Response]]


def result(request: Mapping[str, Any], value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """A JSON-RPC result."""
    return JSONResponse({"jsonrpc": "2.0", "id": request["id"], "result": value}, headers=dict(headers or {}))


def error(request: Mapping[str, Any], code: int, message: str, status: int = 200) -> Response:
    """A JSON-RPC error."""
    return JSONResponse({"jsonrpc": "2.0", "id": request.get("id"), "error": {"code": code, "message": message}}, status_code=status)


def text_result(request: Mapping[str, Any], text: str) -> Response:
    """A tool's result: one text."""
    return result(request, {"content": [{"type": "text", "text": text}]})


def answering(status: int, body: str = "", **headers: str) -> Answer:
    """Always the same HTTP answer."""

    async def answer(_: dict[str, Any]) -> Response:
        return Response(body, status, {name.replace("_", "-"): value for name, value in headers.items()})

    return answer


async def hang(_: dict[str, Any]) -> Response:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


ECHO_TOOL: Mapping[str, Any] = {"name": "echo", "description": "Say it again.", "inputSchema": {"type": "object"}}


@dataclass
class ScriptedServer:
    """A server of the handshake era whose answers a test sets by method; what is not set is answered well.

    requests: what it was asked, (method, headers, params). addresses: paths with queries, as they came.
    sessions: whether it gives out session ids, and the ones it knows.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    with_sessions: bool = False
    sessions: set[str] = field(default_factory=set)
    requests: list[tuple[str, Mapping[str, str], Mapping[str, Any]]] = field(default_factory=list)
    addresses: set[str] = field(default_factory=set)

    def app(self) -> ASGIApp:
        """The app; MCP is at /mcp."""
        return Starlette(routes=[Route("/mcp", self._serve, methods=["GET", "POST", "DELETE"])])

    def asked(self, method: str) -> int:
        """How often a method was asked."""
        return sum(asked == method for asked, _, _ in self.requests)

    async def _serve(self, http: Request) -> Response:
        self.addresses.add(f"{http.scope['raw_path'].decode()}?{http.scope['query_string'].decode()}".removesuffix("?"))
        if http.method != "POST":
            self.requests.append((http.method, dict(http.headers), {}))
            return Response(status_code=405)
        request = await http.json()
        method = request.get("method", "")
        self.requests.append((method, dict(http.headers), request.get("params") or {}))
        if "id" not in request:
            return Response(status_code=202)
        if (
            self.with_sessions
            and method not in ("initialize", "server/discover")
            and http.headers.get("mcp-session-id") not in self.sessions
        ):
            return error(request, -32600, "Session not found", 404)
        if method in self.answers:
            return await self.answers[method](request)
        return self.well(request)

    def well(self, request: dict[str, Any]) -> Response:
        """The good answer."""
        match request["method"]:
            case "initialize":
                headers = {}
                if self.with_sessions:
                    session = f"session-{len(self.requests)}"
                    self.sessions.add(session)
                    headers["mcp-session-id"] = session
                value = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}}
                return result(request, value, headers)
            case "tools/list":
                return result(request, {"tools": [ECHO_TOOL]})
            case "tools/call":
                return text_result(request, "well")
            case _:
                return error(request, -32601, "Method not found")


# --- the reference server in Node ---------------------------------------------------------------------------------------------------


def everything_command() -> list[str]:
    """The command of @modelcontextprotocol/server-everything."""
    return [node(), str(node_modules() / "@modelcontextprotocol" / "server-everything" / "dist" / "index.js")]


@asynccontextmanager
async def everything(mode: str = "streamableHttp", port: int = 0) -> AsyncIterator[str]:
    """Run the reference server over `streamableHttp` or `sse`; gives its MCP URL."""
    port = port or free_port()
    process = await asyncio.create_subprocess_exec(
        *everything_command(),
        mode,
        env={**os.environ, "PORT": str(port)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_START_SECONDS), httpx.AsyncClient() as http:
            while process.returncode is None:
                with contextlib.suppress(httpx.TransportError):
                    await http.get(f"http://127.0.0.1:{port}/nothing")
                    break
                await asyncio.sleep(0.05)
        if process.returncode is not None:
            raise RuntimeError(f"the MCP reference server ended with {process.returncode}")
        yield f"http://127.0.0.1:{port}/{'sse' if mode == 'sse' else 'mcp'}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
