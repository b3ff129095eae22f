"""What the gateway's benchmark sends: the same work through a gateway and by a bare script, each answer checked."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
from mcp import Client

from tests.bench.system import percentile

#: Does the work with this number, and raises when the answer is wrong.
Work = Callable[[int], Awaitable[None]]
_TEXT = "The tool has answered, and this is what the model makes of it."


class WrongAnswer(Exception):
    """An answer is not what it has to be."""


@dataclass(frozen=True)
class Served:
    """How a gateway names the model, and to it the tools of the server with the label `demo`."""

    model: str = "scripted"
    tool_prefix: str = "mcp__demo__"


def script(number: int, tool: str, arguments: dict[str, Any] | None = None) -> str:
    """What a user says to make the model call a tool once, by the name that it sees, and then answer."""
    call = {"name": tool, "arguments": arguments or {"message": f"message {number}"}}
    return json.dumps({"rounds": [{"calls": [call]}, {"text": f"{_TEXT} {number}"}]})


def plain(number: int) -> str:
    """What a user says to make the model answer at once."""
    return json.dumps({"rounds": [{"text": f"{_TEXT} {number}"}]})


def client(url: str = "") -> httpx.AsyncClient:
    """A client that keeps connections, for less time than uvicorn does."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=3.0)
    return httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0, trust_env=False)


async def times(work: Work, count: int, start: int = 0) -> list[float]:
    """Milliseconds of each, one after the other."""
    found = []
    for number in range(start, start + count):
        begun = time.perf_counter()
        await work(number)
        found.append(1000 * (time.perf_counter() - begun))
    return found


async def rate(work: Work, count: int, concurrency: int) -> float:
    """Done per second, with so many at once."""
    numbers = iter(range(count))

    async def one_by_one() -> None:
        for number in numbers:
            await work(number)

    begun = time.perf_counter()
    await asyncio.gather(*(one_by_one() for _ in range(concurrency)))
    return count / (time.perf_counter() - begun)


# --- through a gateway --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Responses:
    """POST /v1/responses. server: the tool's connector_id or server_url; none: no tools."""

    http: httpx.AsyncClient
    server: dict[str, str]
    served: Served = Served()

    def body(self, said: str, *, stream: bool = False) -> dict[str, Any]:
        """The body of a request."""
        body: dict[str, Any] = {"model": self.served.model, "store": False, "input": said, "stream": stream}
        if self.server:
            body["tools"] = [{"type": "mcp", "server_label": "demo", "require_approval": "never", **self.server}]
        return body

    async def call(self, number: int) -> None:
        """One call of echo."""
        response = await self._created(script(number, f"{self.served.tool_prefix}echo"))
        calls = [item for item in response["output"] if item["type"] == "mcp_call"]
        if len(calls) != 1 or calls[0]["error"] or f"message {number}" not in str(calls[0]["output"]):
            raise WrongAnswer(f"request {number}: {[item for item in response['output'] if item['type'] != 'mcp_list_tools']}")
        _check_text(response, number)

    async def plain(self, number: int) -> None:
        """No tool."""
        _check_text(await self._created(plain(number)), number)

    async def first_delta(self, number: int) -> float:
        """Milliseconds to the first piece of text of a stream."""
        begun, first = time.perf_counter(), None
        async with self.http.stream("POST", "/v1/responses", json=self.body(plain(number), stream=True)) as response:
            async for line in response.aiter_lines():
                if first is None and line.startswith("data:") and '"response.output_text.delta"' in line:
                    first = 1000 * (time.perf_counter() - begun)
        if first is None:
            raise WrongAnswer(f"request {number}: no text")
        return first

    async def slow_stream(self, number: int) -> bool:
        """One streamed call of a tool that takes 500 ms; whether all of it is as it must be."""
        said, events = script(number, f"{self.served.tool_prefix}slow", {"seconds": 0.5}), []
        try:
            async with self.http.stream("POST", "/v1/responses", json=self.body(said, stream=True)) as response:
                async for line in response.aiter_lines():
                    if line.startswith("data: {"):
                        events.append(json.loads(line[6:]))
            if [event["sequence_number"] for event in events] != list(range(len(events))):
                return False
            if not events or events[-1]["type"] != "response.completed":
                return False
            calls = [item for item in events[-1]["response"]["output"] if item["type"] == "mcp_call"]
            _check_text(events[-1]["response"], number)
        except (httpx.HTTPError, WrongAnswer):
            return False
        return len(calls) == 1 and not calls[0]["error"] and "done" in calls[0]["output"]

    async def _created(self, said: str) -> dict[str, Any]:
        answer = await self.http.post("/v1/responses", json=self.body(said))
        if answer.status_code != httpx.codes.OK:
            raise WrongAnswer(f"{answer.status_code}: {answer.text[:2000]}")
        response: dict[str, Any] = answer.json()
        return response


def _check_text(response: dict[str, Any], number: int) -> None:
    last = response["output"][-1]
    if response["status"] != "completed" or last["type"] != "message" or last["content"][0]["text"] != f"{_TEXT} {number}":
        raise WrongAnswer(f"request {number}: {response}")


# --- by a bare script ---------------------------------------------------------------------------------------------------------------


class Direct:
    """The same calls without a gateway: streamed chat completions, and tools/call with the SDK, on connections that are open."""

    def __init__(self, http: httpx.AsyncClient, server: Client | None = None) -> None:
        self._http = http
        self._server = server
        self._tools: list[dict[str, Any]] = []

    async def prepare(self) -> "Direct":
        """List the tools."""
        if self._server is not None:
            for tool in (await self._server.list_tools()).tools:
                function = {"name": f"mcp__demo__{tool.name}", "description": tool.description, "parameters": tool.input_schema}
                self._tools.append({"type": "function", "function": function})
        return self

    async def call(self, number: int) -> None:
        """Two rounds and one call of echo."""
        assert self._server is not None
        messages: list[dict[str, Any]] = [{"role": "user", "content": script(number, "mcp__demo__echo")}]
        deltas = await self._round(messages)
        parts = [part for delta in deltas for part in delta.get("tool_calls") or ()]
        head, arguments = parts[0], "".join(part["function"].get("arguments") or "" for part in parts)
        name = head["function"]["name"]
        result = await self._server.call_tool(name.removeprefix("mcp__demo__"), json.loads(arguments))
        text = getattr(result.content[0], "text", "")
        if f"message {number}" not in text:
            raise WrongAnswer(f"call {number}: {result}")
        call = {"id": head["id"], "type": "function", "function": {"name": name, "arguments": arguments}}
        messages += [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": head["id"], "content": text},
        ]
        _check_said(await self._round(messages), number)

    async def plain(self, number: int) -> None:
        """One round without tools."""
        _check_said(await self._round([{"role": "user", "content": plain(number)}]), number)

    async def first_delta(self, number: int) -> float:
        """Milliseconds to the first piece of text."""
        begun, first = time.perf_counter(), None
        async with self._http.stream(
            "POST", "/v1/chat/completions", json=self._body([{"role": "user", "content": plain(number)}])
        ) as response:
            async for line in response.aiter_lines():
                if first is None and line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                    first = 1000 * (time.perf_counter() - begun)
        if first is None:
            raise WrongAnswer(f"request {number}: no text")
        return first

    def _body(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        body = {"model": "scripted", "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        return body | ({"tools": self._tools} if self._tools else {})

    async def _round(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        answer = await self._http.post("/v1/chat/completions", json=self._body(messages))
        if answer.status_code != httpx.codes.OK:
            raise WrongAnswer(f"{answer.status_code}: {answer.text[:2000]}")
        chunks = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        return [choice["delta"] for chunk in chunks for choice in chunk["choices"]]


def _check_said(deltas: list[dict[str, Any]], number: int) -> None:
    if "".join(delta.get("content") or "" for delta in deltas) != f"{_TEXT} {number}":
        raise WrongAnswer(f"request {number}: {deltas}")


def p50(values: list[float]) -> float:
    """The median."""
    return percentile(values, 0.5)
