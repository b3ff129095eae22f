"""The application of the demo: code that works unchanged wherever `openai` is installed. The demo prints it and runs it.

The imports are inside the functions so that each is complete when it is printed, and because `openai` is an optional extra.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseStreamEvent


def ask(base_url: str) -> "Response":
    """Ask a question and wait for the whole response."""
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="none")
    orders: Any = {"type": "mcp", "server_label": "orders", "connector_id": "connector_orders", "require_approval": "never"}
    return client.responses.create(model="demo-model", tools=[orders], input="Where is order 1042?")


def ask_streaming(base_url: str) -> "Iterator[ResponseStreamEvent]":
    """Ask a question and yield the events of the response as they arrive."""
    from openai import OpenAI

    client = OpenAI(base_url=base_url, api_key="none")
    orders: Any = {"type": "mcp", "server_label": "orders", "connector_id": "connector_orders", "require_approval": "never"}
    yield from client.responses.create(model="demo-model", tools=[orders], input="Where is order 1042?", stream=True)
