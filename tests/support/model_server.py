"""A scripted model server: speaks chat completions as vLLM 0.33 does, and says what a script tells it.

`python -m tests.support.model_server --port 8000`, or in a test:

    with ModelServer({"weather": [Round(calls=[Call("get_weather", {"city": "Berlin"})]), Round(text="Sunny.")]}) as server:
        ... server.url ...; server.requests[0].body["messages"]

Which script: the last user message when it is JSON with `rounds`, else the one of the model's name, else an answer that repeats the user.
Which round: that many as turns of the model stand after that user message (for a named script: in the whole conversation).
"""

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from types import TracebackType
from typing import Any, Self

import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.support.listening import Listener
from tests.support.scripts import Call, Round, Turn, rounds_from_json
from tests.support.vllm_rules import Refused, check, text_of

__all__ = ["Call", "ModelServer", "Recorded", "Round", "model_app"]

Scripts = Mapping[str, Sequence[Round]]

_CREATED = 1_750_000_000


@dataclass(slots=True)
class Recorded:
    """A request as it came. peer: the port that it came from. ended: set when its answer is over; cut: whether the client went away before
    that."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    peer: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    cut: bool = False


class ModelServer:
    """The server on a free port of 127.0.0.1, in a thread of its own, while the context lasts. url: without /v1."""

    def __init__(self, scripts: Scripts | None = None, *, key: str | None = None) -> None:
        self.scripts: dict[str, Sequence[Round]] = dict(scripts or {})
        self.requests: list[Recorded] = []
        #: Set when a request has come.
        self.received = threading.Event()
        self._app = model_app(self.scripts, key=key, record=self._record)
        self._socket = Listener.on()
        self.url = f"http://127.0.0.1:{self._socket.port}"
        self._server = _server(self._app)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="model server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # Connections wait in the socket's queue until the server runs, so there is no need to wait for its start; a stop before it is seen.
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    async def _serve(self) -> None:
        await self._server.serve([self._socket])
        await self._socket.close_connections()

    def _record(self, request: Recorded) -> None:
        self.requests.append(request)
        self.received.set()

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of all chat completions requests."""
        return [request.body for request in self.requests if request.path == "/v1/chat/completions"]


def model_app(scripts: Scripts, *, key: str | None = None, record: Callable[[Recorded], None] = lambda _: None) -> Starlette:
    """The ASGI app. key: what clients must send; None: anything. record: gets each request as it comes."""
    handlers = _Handlers(scripts, key, record)
    return Starlette(
        routes=[
            Route("/v1/models", handlers.models, methods=["GET"]),
            Route("/v1/chat/completions", handlers.chat_completions, methods=["POST"]),
        ]
    )


def _server(app: Starlette) -> uvicorn.Server:
    # Answers that are cut on purpose are no news.
    return uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="critical", lifespan="off", timeout_graceful_shutdown=1))


class _Handlers:
    def __init__(self, scripts: Scripts, key: str | None, record: Callable[[Recorded], None]) -> None:
        self._scripts = scripts
        self._key = key
        self._record_request = record
        self._ids = count(1)

    async def models(self, request: Request) -> Response:
        self._record(request, {}).ended.set()
        if refused := self._unauthorized(request):
            return refused
        names = ["scripted", *(name for name in self._scripts if name != "scripted")]
        data = [{"id": name, "object": "model", "created": _CREATED, "owned_by": "junctor", "max_model_len": 32768} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def chat_completions(self, request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            return _error(400, "Input should be a valid dictionary")
        recorded = self._record(request, body)
        answer = self._answer(request, body, recorded)
        if not isinstance(answer, _Played):
            recorded.ended.set()
        return answer

    def _answer(self, request: Request, body: dict[str, Any], recorded: Recorded) -> Response:
        if refused := self._unauthorized(request):
            return refused
        model = body.get("model")
        if model != "scripted" and model not in self._scripts:
            return _error(404, f"The model `{model}` does not exist.", "model")
        try:
            check(body)
            round_ = self._round(body)
        except Refused as error:
            return _error(400, str(error), error.param)
        if round_.status is not None:
            refused = _error(round_.status, round_.error or "the script says so")
            if round_.retry_after is not None:
                refused.headers["retry-after"] = round_.retry_after
            return refused
        number = next(self._ids)
        return _Played(_turn(round_, body, number), body, recorded, f"chatcmpl-{number}")

    def _round(self, body: Mapping[str, Any]) -> Round:
        messages = body["messages"]
        last_user = max((at for at, message in enumerate(messages) if message["role"] == "user"), default=-1)
        said = text_of(messages[last_user].get("content")) if last_user >= 0 else ""
        script: Sequence[Round] | None = _script(said)
        if script is not None:
            messages = messages[last_user + 1 :]
        elif body["model"] in self._scripts:
            script = self._scripts[body["model"]]
        else:
            return Round(text=f"You said: {said}")
        played = sum(
            1
            for at, message in enumerate(messages)
            if message["role"] == "assistant" and (at == 0 or messages[at - 1]["role"] != "assistant")
        )
        if played >= len(script):
            raise Refused(f"the script has {len(script)} rounds, and this would be number {played + 1}")
        return script[played]

    def _record(self, request: Request, body: dict[str, Any]) -> Recorded:
        recorded = Recorded(request.url.path, dict(request.headers), body, request.client.port if request.client else 0)
        self._record_request(recorded)
        return recorded

    def _unauthorized(self, request: Request) -> Response | None:
        if self._key is None or request.headers.get("authorization") == f"Bearer {self._key}":
            return None
        return JSONResponse({"error": "Unauthorized"}, status_code=401)


class _Played(Response):
    """A turn as an answer, streamed or not. Knows when the client went away."""

    def __init__(self, turn: Turn, body: Mapping[str, Any], recorded: Recorded, answer_id: str) -> None:
        super().__init__()
        self._turn = turn
        self._body = body
        self._recorded = recorded
        self._head = {"id": answer_id, "created": _CREATED, "model": body["model"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        playing = asyncio.create_task(self._stream(send) if self._body.get("stream") else self._whole(scope, receive, send))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait((playing, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._recorded.cut = not playing.done()
            playing.cancel()
            gone.cancel()
            await asyncio.gather(playing, gone, return_exceptions=True)
            self._recorded.ended.set()
        if not self._recorded.cut:
            playing.result()

    async def _whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._pause(0)
        turn = self._turn
        if turn.round.error is not None:
            await _error(500, turn.round.error)(scope, receive, send)
            return
        choice = {"index": 0, "message": turn.message(), "finish_reason": turn.finish_reason, "logprobs": None}
        answer = JSONResponse({**self._head, "object": "chat.completion", "choices": [choice], "usage": turn.usage})
        if turn.round.drop is not None:
            await send({"type": "http.response.start", "status": 200, "headers": answer.raw_headers})
            await send({"type": "http.response.body", "body": answer.body[:10], "more_body": True})
            return
        await answer(scope, receive, send)

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream; charset=utf-8")]})
        async for event in self._events():
            data = f"data: {event}\n\n".encode()
            size = self._turn.round.split or len(data)
            for start in range(0, len(data), size):
                await send({"type": "http.response.body", "body": data[start : start + size], "more_body": True})
        # A response that is not ended makes uvicorn break the connection.
        if self._turn.round.drop is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncIterator[str]:
        round_ = self._turn.round
        for number, (delta, reason) in enumerate(self._turn.deltas()):
            await self._pause(number)
            if number == round_.drop:
                return
            if round_.error is not None and number == round_.after:
                yield json.dumps(_error_body(500, round_.error))
                break
            logprobs = _logprobs(delta["content"], self._body) if delta.get("content") and self._body.get("logprobs") else None
            yield self._chunk([{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": logprobs}])
        else:
            if (self._body.get("stream_options") or {}).get("include_usage"):
                yield self._chunk([], usage=self._turn.usage)
        if round_.done:
            yield "[DONE]"

    def _chunk(self, choices: list[dict[str, Any]], **more: Any) -> str:
        return json.dumps({**self._head, "object": "chat.completion.chunk", "choices": choices, **more}, ensure_ascii=False)

    async def _pause(self, number: int) -> None:
        if number == self._turn.round.hang:
            await asyncio.Event().wait()
        if self._turn.round.delay:
            await asyncio.sleep(self._turn.round.delay)


def _logprobs(text: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """A delta counts as one token, which is certain."""
    token = {"token": text, "logprob": 0.0, "bytes": list(text.encode())}
    return {"content": [{**token, "top_logprobs": [token][: body.get("top_logprobs") or 0]}]}


def _turn(round_: Round, body: Mapping[str, Any], number: int) -> Turn:
    calls = [replace(call, id=call.id or f"call-{number}-{at}") for at, call in enumerate(round_.calls)]
    if body.get("parallel_tool_calls") is False:
        calls = calls[:1]
    # A forced named function ends with `stop`.
    natural = "tool_calls" if calls and not isinstance(body.get("tool_choice"), Mapping) else "stop"
    return Turn(round_, calls, round_.finish_reason or natural, round_.usage or _usage(round_, calls, body))


def _usage(round_: Round, calls: Sequence[Call], body: Mapping[str, Any]) -> dict[str, Any]:
    """Words count as tokens."""
    prompt = sum(len(text_of(message.get("content")).split()) for message in body["messages"])
    completion = sum(len(text.split()) for text in (round_.text, round_.reasoning, *(call.text for call in calls)))
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _script(text: str) -> list[Round] | None:
    if '"rounds"' not in text:
        return None
    try:
        return rounds_from_json(json.loads(text))
    except (ValueError, TypeError) as error:
        raise Refused(f"the script in the last message cannot be played: {error}", "messages") from error


def _error(status: int, error: Mapping[str, Any] | str, param: str | None = None) -> Response:
    return JSONResponse(_error_body(status, error, param), status_code=status)


def _error_body(status: int, error: Mapping[str, Any] | str, param: str | None = None) -> dict[str, Any]:
    """vLLM's errors: types are class names, codes are numbers."""
    kind = {400: "BadRequestError", 404: "NotFoundError"}.get(status, "InternalServerError")
    given = {"message": error} if isinstance(error, str) else error
    return {"error": {"message": "", "type": kind, "param": param, "code": status, **given}}


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@click.command(context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address.")
@click.option("--port", default=8000, type=click.IntRange(0, 65535), help="Port; 0: any.")
@click.option("--key", help="What clients must send as their API key.")
def main(host: str, port: int, key: str | None) -> None:
    """Serve the model `scripted`: it plays the script in the last user message, or repeats the user."""
    logging.basicConfig(level=logging.INFO)
    with socket.create_server((host, port)) as sock:
        click.echo(f"listening on http://{host}:{sock.getsockname()[1]}")
        with contextlib.suppress(KeyboardInterrupt):
            _server(model_app({}, key=key)).run([sock])


if __name__ == "__main__":
    main()
