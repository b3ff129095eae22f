"""Converts the content of items, a string or a list of parts, into text or into parts of chat completions."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from junctor.gateway.responses.refusals import Tolerant, checked, refuse
from junctor.net.formats import OpenAIObject, OpenAIObjectView


class _Text(Tolerant):
    text: str


class _Refusal(Tolerant):
    refusal: str


class _Image(Tolerant):
    image_url: str | None = None
    file_id: str | None = None
    detail: Literal["low", "high", "auto", "original"] | None = None


class _AudioData(Tolerant):
    data: str
    format: str


class _Audio(Tolerant):
    input_audio: _AudioData


def user_content(content: Any, place: str) -> str | Sequence[OpenAIObjectView]:
    """Convert the content of a user, system or developer message. A single text becomes a string: not every chat template takes parts."""
    if isinstance(content, str):
        return content
    parts = [_user_part(part, where) for part, where in _parts(content, place)]
    if len(parts) == 1 and parts[0]["type"] == "text":
        return str(parts[0]["text"])
    return parts


def output_text(content: Any, place: str) -> str:
    """Convert the content of an assistant's message or of a function's output, which model servers take as text only."""
    if isinstance(content, str):
        return content
    texts = []
    for part, where in _parts(content, place):
        match part.get("type"):
            case "output_text" | "input_text" | "text":
                texts.append(checked(_Text, part, where).text)
            case "refusal":
                texts.append(checked(_Refusal, part, where).refusal)
            case kind:
                refuse(f"content of type {str(kind)[:100]!r} is not supported here; send text", f"{where}.type", "unsupported_parameter")
    return "\n".join(texts)


def reasoning_text(content: Any, place: str) -> str:
    """Return the text of a reasoning item. Encrypted content is left out: only the server that encrypted it can read it."""
    if not content:
        return ""
    return "\n".join(checked(_Text, part, where).text for part, where in _parts(content, place))


def tool_error_text(error: Any) -> str:
    """Return what the model reads about a failed call of an earlier response. The error of older items is a string."""
    if isinstance(error, dict):
        content = error.get("content")
        texts = [part.get("text") for part in content if isinstance(part, dict)] if isinstance(content, list) else [error.get("message")]
        text = "\n".join(text for text in texts if isinstance(text, str))
        return f"Error: {text or json.dumps(error)}"
    return f"Error: {error}"


def _parts(content: Any, place: str) -> list[tuple[OpenAIObject, str]]:
    if not isinstance(content, list):
        return refuse(f"{place} must be a string or a list of parts", place, "invalid_type")
    parts = []
    for position, part in enumerate(content):
        if not isinstance(part, dict):
            refuse(f"{place}[{position}] must be an object", f"{place}[{position}]", "invalid_type")
        parts.append((part, f"{place}[{position}]"))
    return parts


def _user_part(part: OpenAIObject, place: str) -> OpenAIObject:
    match part.get("type"):
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": checked(_Text, part, place).text}
        case "input_image":
            image = checked(_Image, part, place)
            if image.file_id is not None:
                refuse("file_id is not supported: no files are stored here; send image_url", f"{place}.file_id", "unsupported_parameter")
            if image.image_url is None:
                refuse("an image needs image_url", f"{place}.image_url", "missing_required_parameter")
            return {"type": "image_url", "image_url": {"url": image.image_url} | ({"detail": image.detail} if image.detail else {})}
        case "input_audio":
            audio = checked(_Audio, part, place).input_audio
            return {"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format}}
        case "input_file":
            return refuse("files are not supported; send their text", f"{place}.type", "unsupported_parameter")
        case kind:
            return refuse(f"content of type {str(kind)[:100]!r} is not supported", f"{place}.type", "unsupported_parameter")
