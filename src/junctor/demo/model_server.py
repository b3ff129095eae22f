"""The model server of the demo, a script instead of a model: `python -m junctor.demo.model_server DESCRIPTOR`.

It serves POST /v1/chat/completions like vLLM, streaming or not. The script calls the first tool with the number in the question, then
repeats the tool's result. A stream pauses between words, as a model's does, so that it can be watched; Junctor always asks for a stream.
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from junctor.demo.inherited_socket import serve
from junctor.net.formats import OpenAIObject, OpenAIObjectView

_HEAD: Final = {"id": "chatcmpl-demo", "created": 1_750_000_000}
#: Pause between two words of a stream.
_PAUSE_SECONDS: Final = 0.005
_USAGE: Final = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}


def model_app() -> Starlette:
    """The ASGI app."""
    return Starlette(routes=[Route("/v1/chat/completions", _complete, methods=["POST"])])


async def _complete(request: Request) -> Response:
    body = await request.json()
    message = reply(body)
    reason = "tool_calls" if "tool_calls" in message else "stop"
    if body.get("stream"):
        return StreamingResponse(_stream(body, message, reason), media_type="text/event-stream")
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return JSONResponse({**_HEAD, "object": "chat.completion", "model": body["model"], "choices": [choice], "usage": _USAGE})


def reply(body: OpenAIObjectView) -> OpenAIObject:
    """Return the assistant's message that answers a chat completions request."""
    *_, last = body["messages"]
    if last["role"] == "tool":
        return _text(f"The order system says: {last['content']}")
    number = re.search(r"\d+", str(last["content"]))
    if number is None or not body.get("tools"):
        return _text("I can only look up orders, by their number and with a tool.")
    function = body["tools"][0]["function"]
    parameter, *_ = function["parameters"]["properties"]
    call = {"name": function["name"], "arguments": json.dumps({parameter: number.group()})}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": "call-1", "type": "function", "function": call}]}


def _text(text: str) -> OpenAIObject:
    return {"role": "assistant", "content": text}


async def _stream(body: OpenAIObjectView, message: OpenAIObjectView, reason: str) -> AsyncIterator[str]:
    """Yield server-sent events: text word by word, a tool call in one piece."""
    for delta in _deltas(message):
        await asyncio.sleep(_PAUSE_SECONDS)
        yield _event(body, [{"index": 0, "delta": delta, "finish_reason": None}])
    yield _event(body, [{"index": 0, "delta": {}, "finish_reason": reason}])
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event(body, [], usage=_USAGE)
    yield "data: [DONE]\n\n"


def _deltas(message: OpenAIObjectView) -> Iterator[OpenAIObject]:
    yield {"role": "assistant", "content": ""}
    for word in re.findall(r"\S+\s*", message["content"] or ""):
        yield {"content": word}
    if calls := message.get("tool_calls"):
        yield {"tool_calls": [{"index": index, **call} for index, call in enumerate(calls)]}


def _event(body: OpenAIObjectView, choices: list[OpenAIObject], **more: Any) -> str:
    chunk = {**_HEAD, "object": "chat.completion.chunk", "model": body["model"], "choices": choices, **more}
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"


if __name__ == "__main__":
    serve(model_app(), int(sys.argv[1]))
