"""What tools answer besides text, from real servers: whole in the response, and told to the model, which reads text only."""

import json
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.types import AudioContent
from openai import AsyncOpenAI

from tests.support.mcp_servers import everything, serving
from tests.support.model_server import Call, Round
from tests.support.running_gateway import ANSWER, RunningGateway, calls_of, mcp_tool, read_by_model, respond

#: Tool and arguments, the types of the parts of the output, what the model reads.
CONTENTS: tuple[tuple[str, dict[str, Any], list[str], str], ...] = (
    ("mcp__demo__get-tiny-image", {}, ["text", "image", "text"], "[image image/png, 4035 bytes]"),
    ("mcp__demo__get-resource-links", {"count": 1}, ["text", "resource_link"], "[resource demo://resource/dynamic/"),
    ("mcp__demo__get-resource-reference", {"resourceType": "Text", "resourceId": 1}, ["text", "resource", "text"], "This is a plaintext"),
    ("mcp__sound__says", {}, ["audio"], "[audio audio/wav, 3 bytes]"),
)
STRUCTURED = ("mcp__demo__get-structured-content", {"location": "Chicago"})


def sound_server() -> MCPServer:
    server = MCPServer("sound", log_level="CRITICAL")

    @server.tool()
    def says() -> AudioContent:
        """Say something."""
        return AudioContent(data="aGFs", mime_type="audio/wav")

    return server


async def test_every_kind_of_content_is_carried(shared_gateway: RunningGateway, client: AsyncOpenAI) -> None:
    calls = [Call(name, arguments) for name, arguments, *_ in CONTENTS]
    model = shared_gateway.plays(Round(calls=[*calls, Call(*STRUCTURED)]), ANSWER)
    async with everything() as url, serving(sound_server().streamable_http_app()) as sound:
        ids = [await shared_gateway.connector(server) for server in (url.removesuffix("/mcp"), sound)]
        tools = [mcp_tool(connector, label) for connector, label in zip(ids, ("demo", "sound"), strict=True)]
        response = await respond(client, stream=True, model=model, tools=tools, input="hi")
    *others, structured = [json.loads(call.output) for call in calls_of(response)]
    assert [[part["type"] for part in output] for output in others] == [types for *_, types, _ in CONTENTS]
    assert others[-1][0]["data"] == "aGFs"
    assert structured.keys() == {"temperature", "conditions", "humidity"}
    *told, told_structured = read_by_model(shared_gateway.asked(model))
    for text, (*_, shown) in zip(told, CONTENTS, strict=True):
        assert shown in text
    assert json.loads(told_structured) == structured
