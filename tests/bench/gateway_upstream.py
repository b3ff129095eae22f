"""The scripted model server in a process of its own, which also answers POST /v1/responses, unstreamed, for gateways that ask for that.

`python -m tests.bench.gateway_upstream PORT`. The second answer costs less to make than the first: that is in favour of who asks for it.
"""

import json
import sys
from itertools import count
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.model_server import model_app

_ids = count(1)


async def responses(request: Request) -> Response:
    """Plays the script of the last user message: as many rounds have passed as results of calls stand in the input."""
    body = await request.json()
    user = next(item for item in reversed(body["input"]) if item.get("role") == "user")
    said = user["content"] if isinstance(user["content"], str) else "".join(part["text"] for part in user["content"])
    played = sum(item.get("type") == "function_call_output" for item in body["input"])
    round_, number = json.loads(said)["rounds"][played], next(_ids)
    output: list[dict[str, Any]] = [
        {
            "type": "function_call",
            "id": f"fc_{number}_{at}",
            "call_id": f"call_{number}_{at}",
            "name": call["name"],
            "arguments": json.dumps(call["arguments"]),
            "status": "completed",
        }
        for at, call in enumerate(round_.get("calls", ()))
    ]
    if text := round_.get("text"):
        content = [{"type": "output_text", "text": text, "annotations": []}]
        output.append({"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content})
    usage = {
        "input_tokens": 1,
        "output_tokens": 1,
        "total_tokens": 2,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    return JSONResponse(
        {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1_750_000_000,
            "status": "completed",
            "model": body["model"],
            "output": output,
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "usage": usage,
        }
    )


if __name__ == "__main__":
    app = model_app({})
    app.router.routes.append(Route("/v1/responses", responses, methods=["POST"]))
    uvicorn.run(app, port=int(sys.argv[1]), log_level="critical", lifespan="off")
