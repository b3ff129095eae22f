import json

import mcp_types as types
import pytest

from junctor.gateway.mcp.outcome import outcome_of, shorten
from junctor.gateway.tools.ports import ToolFailure


def _text(text: str) -> types.TextContent:
    return types.TextContent(text=text)


def _result(*content: types.ContentBlock, structured: dict[str, object] | None = None, error: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=list(content), structured_content=structured, is_error=error)


IMAGE = types.ImageContent(data="aGFsbG8h", mime_type="image/png")


def test_text_parts_are_joined_by_newlines() -> None:
    outcome = outcome_of(_result(_text("a"), _text("b"), structured={"x": 1}), 100)
    assert (outcome.output, outcome.for_model, outcome.failure) == ("a\nb", "a\nb", None)


def test_structured_content_stands_in_when_there_is_no_content() -> None:
    assert outcome_of(_result(structured={"x": 1}), 100).output == '{"x":1}'


def test_a_result_without_anything_is_an_empty_array() -> None:
    assert outcome_of(_result(), 100).output == "[]"


def test_an_image_is_json_in_the_output_and_a_short_description_for_the_model() -> None:
    outcome = outcome_of(_result(_text("see"), IMAGE), 1000)
    assert outcome.output is not None
    assert json.loads(outcome.output)[1] == {"type": "image", "data": "aGFsbG8h", "mimeType": "image/png"}
    assert outcome.for_model == "see\n[image image/png, 6 bytes]"


@pytest.mark.parametrize(
    ("part", "shown"),
    [
        (types.AudioContent(data="aGFs", mime_type="audio/wav"), "[audio audio/wav, 3 bytes]"),
        (types.ResourceLink(name="n", uri="file:///a"), "[resource file:///a: n]"),
        (
            types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///a", mime_type="text/plain", text="in it")),
            "[resource file:///a text/plain]\nin it",
        ),
    ],
)
def test_other_content_is_described(part: types.ContentBlock, shown: str) -> None:
    assert outcome_of(_result(part), 1000).for_model == shown


def test_is_error_is_an_execution_failure_with_the_content_array() -> None:
    outcome = outcome_of(_result(_text("no"), error=True), 100)
    assert outcome.output is None
    assert outcome.failure == ToolFailure("execution", content=[{"type": "text", "text": "no"}])
    assert outcome.for_model == "no"


@pytest.mark.parametrize("error", [False, True])
def test_what_is_larger_than_allowed_is_cut_or_refused_with_a_clear_message(error: bool) -> None:
    outcome = outcome_of(_result(_text("ä" * 100), error=error), 100)
    assert outcome.failure is not None
    assert outcome.failure.kind == "execution"
    text = outcome.failure.content[0]["text"]
    assert text.endswith("[cut]") if error else "200 bytes, more than the 100" in text
    assert len(outcome.for_model) < 120


def test_the_message_of_a_server_is_one_line_that_acts_on_no_terminal() -> None:
    assert shorten("a\n b\x1b[2J \u202e\x9bc") == "a b\N{REPLACEMENT CHARACTER}[2J " + 2 * "\N{REPLACEMENT CHARACTER}" + "c"
