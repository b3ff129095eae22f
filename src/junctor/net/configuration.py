"""Configuration files: YAML documents of one pydantic model, read with errors that name the file, the field and what to do."""

from pathlib import Path
from typing import Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from junctor.net.faults import problems_of

#: The apiVersion of every configuration file.
API_VERSION: Final = "config.junctor.dev/v1alpha1"


class ConfigurationError(Exception):
    """The configuration cannot be used; the message has one line for each fault, which names the field and what to do."""


class ConfigurationModel(BaseModel):
    """A part of a configuration file, in camelCase. An unknown field is an error, because a misspelt one would be ignored silently."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def read_configuration(path: Path, model: type[Model], kind: str) -> Model:
    """Read a file; see `parse_configuration`. Raises ConfigurationError also when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    return parse_configuration(text, str(path), model, kind)


def parse_configuration(text: str, source: str, model: type[Model], kind: str) -> Model:
    """Parse the text of a configuration file.

    Args:
        text: YAML.
        source: what messages call the file.
        model: what the file must be.
        kind: its `kind`, for messages.

    Raises:
        ConfigurationError: the text is not YAML or not of the model.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"{source}: not YAML{place}: {getattr(error, 'problem', None) or error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{source}: expected {'an' if kind[0] in 'AEIO' else 'a'} {kind}, apiVersion {API_VERSION}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise ConfigurationError("\n".join(f"{source}: {line.removeprefix('.')}" for line in problems_of(error, ""))) from error
