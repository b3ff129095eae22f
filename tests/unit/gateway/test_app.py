"""The gateway process on real sockets: bodies that are too long, slow clients, a graceful stop, addresses that it refuses."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner

from junctor.cli.gateway import gateway
from junctor.gateway.app import CallersRequired, GatewaySettings, serve
from junctor.gateway.serving.sources import BadSource
from junctor.gateway.web.limits import BODY_BYTES
from junctor.gateway.web.server import ListenError, Listening
from junctor.net.network_policy import OWN_MACHINE_POLICY
from tests.support.mcp_servers import ScriptedServer, serving
from tests.unit.gateway.maps import MAP, MemorySource, content, head_of, layout_of, publish

DEADLINE = 20.0


@dataclass
class Running:
    listening: Listening
    source: MemorySource
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def connect(self, url: str | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(url or self.listening.url)
        return await asyncio.open_connection(parts.hostname, parts.port)


@contextlib.asynccontextmanager
async def running(source: MemorySource) -> AsyncIterator[Running]:
    stop, started = asyncio.Event(), asyncio.get_running_loop().create_future()
    settings = GatewaySettings(map="memory", port=0, management_port=0, network=OWN_MACHINE_POLICY)
    task = asyncio.create_task(serve(settings, source=source, stop=stop, started=started.set_result))
    try:
        async with asyncio.timeout(DEADLINE):
            yield Running(await started, source, stop, task)
            stop.set()
            await task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Running]:
    source = MemorySource()
    publish(source, 1, content("a"))
    async with running(source) as server, httpx.AsyncClient(trust_env=False) as client:
        await client.post(server.listening.management_url + "/-/reload", json={"sequence": 1})
        yield server


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of everything that comes until the server closes."""
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}, json.loads(body)


async def test_both_ports_serve_what_they_should_and_not_the_others(server: Running) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        listed = await client.get(server.listening.url + "/v1/connectors")
        hidden = await client.get(server.listening.url + "/-/readyz")
        ready = await client.get(server.listening.management_url + "/-/readyz")
    assert [item["id"] for item in listed.json()["data"]] == ["a"]
    assert (hidden.status_code, ready.status_code) == (404, 200)
    assert "server" not in listed.headers


async def test_a_signal_swaps_the_map(server: Running) -> None:
    publish(server.source, 2, content("a"), content("b"))
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(server.listening.management_url + "/-/reload", json={"sequence": 2})
        listed = await client.get(server.listening.url + "/v1/connectors")
    assert answer.json()["sequence"] == 2
    assert [item["id"] for item in listed.json()["data"]] == ["a", "b"]


async def test_tools_are_listed_without_a_model_server() -> None:
    source, mcp_server = MemorySource(), ScriptedServer()
    async with serving(mcp_server.app()) as url:
        publish(source, 1, content("a", url=f"{url}/mcp"))
        async with running(source) as server, httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client:
            await client.post(server.listening.management_url + "/-/reload", json={"sequence": 1})
            listed = await client.get(server.listening.url + "/v1/connectors/a/tools")
    assert (listed.status_code, [tool["name"] for tool in listed.json()["data"]]) == (200, ["echo"])


async def test_small_writes_of_an_answer_do_not_wait_for_acknowledgements(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(b"GET /v1/connectors HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readexactly(1)
    # The event loop sets it only on sockets that say that they are TCP.
    with accepted_from(writer.get_extra_info("sockname")) as accepted:
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    writer.close()


def accepted_from(peer: tuple[str, int]) -> socket.socket:
    """A second handle of this process's socket with that peer."""
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found = socket.socket(fileno=os.dup(int(number)))
            with contextlib.suppress(OSError):
                if found.getpeername() == peer:
                    return found
            found.close()
    raise AssertionError(f"no socket has the peer {peer}")


async def test_head_has_no_body(server: Running) -> None:
    reader, writer = await server.connect()
    writer.write(b"HEAD /v1/connectors HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""
    writer.close()


async def test_a_client_that_keeps_sending_too_much_still_gets_its_413(server: Running) -> None:
    reader, writer = await server.connect(server.listening.management_url)
    writer.write(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n")
    for _ in range(8):
        writer.write(b" " * 1_000_000)
        await writer.drain()
    status, headers, _ = await answer_of(reader)
    assert (status, headers["connection"]) == (413, "close")
    writer.close()


async def test_a_chunked_body_is_counted(server: Running) -> None:
    reader, writer = await server.connect(server.listening.management_url)
    writer.write(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        writer.write(b"400\r\n" + b" " * 1024 + b"\r\n")
    writer.write(b"0\r\n\r\n")
    assert (await answer_of(reader))[0] == 413
    writer.close()


async def test_a_client_that_asks_first_is_refused_before_it_sends(server: Running) -> None:
    reader, writer = await server.connect()
    length = BODY_BYTES + 1
    writer.write(b"GET /v1/connectors HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % length)
    status, _, body = await answer_of(reader)
    assert (status, body["error"]["code"]) == (413, "request_too_large")
    writer.close()


async def test_a_slow_client_holds_up_nobody_and_not_the_stop() -> None:
    source = MemorySource()
    publish(source, 1, content("a"))
    async with running(source) as server:
        slow = [await server.connect(server.listening.management_url) for _ in range(3)]
        slow[0][1].write(b"POST /-/re")
        slow[1][1].write(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(server.listening.management_url + "/-/reload", json={"sequence": 1})
        assert answer.status_code == 200
    for _, writer in slow:
        writer.close()


class GatedSource(MemorySource):
    """Lets reads through one gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = asyncio.Event(), asyncio.Event()

    async def fetch_head(self) -> str | None:
        self.asked.set()
        await self.gate.wait()
        return await super().fetch_head()


async def test_at_the_stop_a_running_request_is_finished() -> None:
    source = GatedSource()
    publish(source, 1, content("a"))
    async with running(source) as server, httpx.AsyncClient(trust_env=False) as client:
        call = asyncio.create_task(client.post(server.listening.management_url + "/-/reload", json={"sequence": 1}))
        await source.asked.wait()
        ready = await client.get(server.listening.management_url + "/-/readyz")
        server.stop.set()
        stopping = await client.get(server.listening.management_url + "/-/readyz")
        source.gate.set()
        assert (await call).status_code == 200
    assert "being loaded" in ready.text
    assert (stopping.status_code, "stopping" in stopping.text) == (503, True)


async def test_a_request_that_outlasts_the_grace_is_told_to_come_back(caplog: pytest.LogCaptureFixture) -> None:
    source = GatedSource()
    async with running(source) as server:
        reader, writer = await server.connect(server.listening.management_url)
        writer.write(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        other, other_writer = await server.connect(server.listening.management_url)
        other_writer.write(
            b'POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"sequence":1}'
        )
        await source.asked.wait()
    for stream, stream_writer in ((reader, writer), (other, other_writer)):
        status, headers, _ = await answer_of(stream)
        assert (status, headers["retry-after"]) == (503, "1")
        stream_writer.close()
    assert "Traceback" not in caplog.text


async def test_without_callers_only_loopback_is_listened_on() -> None:
    for host in ("0.0.0.0", "", "::"):
        with pytest.raises((CallersRequired, ListenError), match=r"--callers|cannot listen"):
            await serve(GatewaySettings(map="memory", host=host, port=0), source=MemorySource())


async def test_with_callers_none_every_address_may_be_listened_on() -> None:
    stop = asyncio.Event()
    settings = GatewaySettings(map="memory", host="0.0.0.0", port=0, management_port=0, callers="none")
    async with asyncio.timeout(DEADLINE):
        await serve(settings, source=MemorySource(), stop=stop, started=lambda _: stop.set())


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"port {port}"):
            await serve(GatewaySettings(map="memory", port=port), source=MemorySource())


@pytest.mark.parametrize("where", ["junctor-connectors", "configmap:x", "configmap:/x", "file:", "http://x", "file:#x"])
async def test_a_source_that_is_none_is_told(where: str) -> None:
    with pytest.raises(BadSource, match="write"):
        await serve(GatewaySettings(map=where, port=0, management_port=0))


# --- the command ----------------------------------------------------------------------------------------------------------------------


def test_the_help_names_every_variable_and_an_example() -> None:
    text = CliRunner().invoke(gateway, ["--help"], terminal_width=200).output
    options = [option for option in gateway.params if option.name != "help"]
    assert all(f"JUNCTOR_{name}" in text for name in ("MAP", "HOST", "PORT", "MANAGEMENT_HOST", "CALLERS", "LOG_LEVEL", "POLL_SECONDS"))
    assert text.count("JUNCTOR_") >= len(options)
    assert "junctor gateway --map configmap:junctor/junctor-connectors" in text


def test_the_command_says_what_is_wrong_in_one_line() -> None:
    environment = dict(os.environ, JUNCTOR_MAP="nowhere", JUNCTOR_PORT="0", JUNCTOR_MANAGEMENT_PORT="0")
    ended = subprocess.run([sys.executable, "-m", "junctor.cli.gateway"], env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "Error: 'nowhere' names no place" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_a_file_until_a_signal_and_logs_json(tmp_path: Path, number: signal.Signals) -> None:
    layout = layout_of(content("a"))
    maps = {MAP: {"head.json": head_of(layout, 1).to_text()}} | {s.ref.name: {"connectors.json": s.text} for s in layout.shards.values()}
    documents = [json.dumps({"kind": "ConfigMap", "metadata": {"name": name}, "data": data}) for name, data in maps.items()]
    (tmp_path / "map.yaml").write_text("\n---\n".join(documents))
    command = [sys.executable, "-m", "junctor.cli.gateway", "--map", f"file:{tmp_path}/map.yaml", "--port", "0", "--management-port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = []
        for text in process.stderr:
            lines.append(json.loads(text))
            if {"listening", "serving"} <= {line["message"].split()[0] for line in lines}:
                break
        url = next(line["url"] for line in lines if "url" in line)
        assert [item["id"] for item in httpx.get(f"{url}/v1/connectors", trust_env=False).json()["data"]] == ["a"]
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(DEADLINE) == 0
    assert rest == ""
    assert all({"time", "severity", "message", "logger"} <= line.keys() for line in lines)
    assert [line["object"] for line in lines if "object" in line] == [{"kind": "ConnectorMap", "name": MAP}]
