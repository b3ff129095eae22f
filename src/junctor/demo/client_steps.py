"""The steps in which an application calls a connector with the OpenAI client: its code, the result, and how long it took."""

import inspect
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from junctor.demo.application import ask, ask_streaming
from junctor.demo.checks import Checks

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseStreamEvent

_ITEMS: Final = ["mcp_list_tools", "mcp_call", "message"]


def new_parcel() -> str:
    """Return a parcel number that nobody can guess, for the MCP server's tool to answer with."""
    return f"P-{secrets.randbelow(900_000) + 100_000}"


class ClientSteps:
    """The steps. base_url: of a gateway with connector_orders and the scripted model. parcel: a number that only its tool knows."""

    def __init__(self, checks: Checks, base_url: str, parcel: str) -> None:
        self._checks = checks
        self._say = checks.say
        self._base_url = base_url
        self._parcel = parcel

    def run(self) -> None:
        """Make both calls. Raises StepFailed, and ImportError without the `demo` extra."""
        # Imported here: the calls below are timed, and the module must load without it.
        from openai import OpenAIError, __version__

        try:
            self._call(__version__)
            self._stream()
        except OpenAIError as error:
            raise self._checks.failure(f"the OpenAI client: {error}") from error

    def _call(self, version: str) -> None:
        self._checks.begin_step(f"An application uses it, with the OpenAI client (openai {version})")
        self._say("   The model is a script: it calls the tool and repeats the result, one word every 5 ms. Everything else is real.")
        self._show_code(ask)
        response, took = _timed(lambda: ask(self._base_url))
        self._say(f'   ask("{self._base_url}") took {took}. The response is {response.status}; its items:')
        self._check(response)
        self._say(f"   parcel {self._parcel} exists for this run only: nothing but the tool can have answered with it")
        again, took = _timed(lambda: ask(self._base_url))
        self._check(again, show=False)
        self._say(f"   the same once more, with everything loaded and connected: {took}")

    def _stream(self) -> None:
        self._checks.begin_step("The same as a stream")
        self._show_code(ask_streaming)
        self._say(f'   ask_streaming("{self._base_url}") yields these events (with the time since the call):')
        begun = time.monotonic()
        events: list[ResponseStreamEvent] = []
        for event in ask_streaming(self._base_url):
            events.append(event)
            detail = f'  "{event.delta}"' if event.type == "response.output_text.delta" else ""
            self._say(f"   {(time.monotonic() - begun) * 1000:5.0f} ms  {event.type}{detail}")
        self._check_events(events)
        self._say("   the events describe the same items, and the deltas add up to the same text")

    def _show_code(self, function: Callable[[str], Any]) -> None:
        self._say("   this code runs with the base_url of the gateway:")
        self._checks.show(inspect.getsource(function))

    def _check(self, response: "Response", *, show: bool = True) -> None:
        """Check that the tool was listed and called and that the model used its result; print the items if `show`."""
        kinds = [item.type for item in response.output]
        self._checks.check(response.status == "completed", f"the response is {response.status}: {response.error}")
        self._checks.check(kinds == _ITEMS, f"the items are {', '.join(kinds) or 'none'} instead of {', '.join(_ITEMS)}")
        for item in response.output:
            if item.type == "mcp_list_tools":
                names = [tool.name for tool in item.tools]
                self._checks.check(names == ["order_status"], f"the listed tools are {names}: {item.error}")
                detail = f"server {item.server_label} has {', '.join(names)}"
            elif item.type == "mcp_call":
                self._checks.check(item.error is None and self._parcel in str(item.output), f"the tool's call failed: {item}")
                detail = f"{item.name}({item.arguments}) gave: {item.output}"
            else:
                self._checks.check(self._parcel in response.output_text, f"the answer is not what the tool said: {response.output_text}")
                detail = response.output_text
            if show:
                self._say(f"   {item.type:<15} {detail}")

    def _check_events(self, events: "list[ResponseStreamEvent]") -> None:
        kinds = [event.type for event in events]
        self._checks.check(kinds[:1] == ["response.created"], "the stream does not begin with response.created")
        last = events[-1]
        if last.type != "response.completed":
            raise self._checks.failure(f"the stream ends with {last.type}")
        self._check(last.response, show=False)
        for kind in ("response.mcp_list_tools.completed", "response.mcp_call_arguments.done", "response.mcp_call.completed"):
            self._checks.check(kind in kinds, f"the stream has no {kind}")
        text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
        self._checks.check(text == last.response.output_text, f"the deltas add up to another text: {text}")


def _timed(call: "Callable[[], Response]") -> "tuple[Response, str]":
    begun = time.monotonic()
    response = call()
    return response, f"{(time.monotonic() - begun) * 1000:.0f} ms"
