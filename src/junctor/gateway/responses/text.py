"""The `text` of a request: the format of the answer."""

from typing import Annotated, Any, Literal

from pydantic import Field

from junctor.gateway.responses.refusals import Strict
from junctor.net.formats import JSONSchema, OpenAIObject


class FormatField(Strict):
    """text.format. schema, name, strict and description belong to json_schema only."""

    type: Literal["text", "json_object", "json_schema"]
    name: Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = None
    schema_: Annotated[JSONSchema | None, Field(alias="schema")] = None
    description: str | None = None
    strict: bool | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a json_schema without its schema."""
        if self.type == "json_schema" and (self.name is None or self.schema_ is None):
            raise ValueError("a json_schema needs name and schema")


class TextField(Strict):
    """text."""

    format: FormatField | None = None
    verbosity: Literal["low", "medium", "high"] | None = None

    @property
    def wants_json(self) -> bool:
        """Whether the answer has to be JSON."""
        return self.format is not None and self.format.type != "text"

    def options(self) -> OpenAIObject:
        """Return the options for the model server, under the names of chat completions."""
        options: OpenAIObject = {}
        if self.verbosity:
            options["verbosity"] = self.verbosity
        if self.format and self.format.type == "json_object":
            options["response_format"] = {"type": "json_object"}
        elif self.format and self.format.type == "json_schema":
            schema = self.format.model_dump(by_alias=True, exclude_none=True, exclude={"type"})
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        return options

    def echo(self) -> OpenAIObject:
        """Return the field as the response repeats it."""
        shown = default_text()
        if self.format:
            shown["format"] = self.format.model_dump(by_alias=True, exclude_none=True)
            if self.format.type == "json_schema":
                shown["format"] |= {"description": self.format.description, "strict": bool(self.format.strict)}
        if self.verbosity:
            shown["verbosity"] = self.verbosity
        return shown


def default_text() -> OpenAIObject:
    """Return the `text` of a response whose request has none."""
    return {"format": {"type": "text"}, "verbosity": "medium"}
