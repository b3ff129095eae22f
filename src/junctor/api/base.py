"""The base of all resource models: Kubernetes spelling, rules that exist once for CEL and Python, unknown fields kept apart."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation rule of an object, for the API server as CEL and for offline use as Python.

    cel: expression over `self`, true when the object is good. message: says what to do. field: the property to blame, when one is.
    check: the same rule in Python; None where only the API server can judge (rules that compare with `oldSelf`).
    """

    cel: str
    message: str
    field: str | None = None
    check: Callable[[Any], bool] | None = None


class ApiModel(BaseModel):
    """A part of a resource. Unknown fields are kept (`unknown_fields`), so that the reader decides what they mean."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    #: Rules of this object, rendered into the CRD as x-kubernetes-validations and checked here as well.
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _follows_rules(self) -> Self:
        for rule in self.rules:
            if rule.check is not None and not rule.check(self):
                raise PydanticCustomError("rule", "{message}", {"message": rule.message, "field": rule.field})
        return self

    def unknown_fields(self, path: str = "") -> Iterator[str]:
        """Paths of the fields that this version does not know, such as `auth.mtls`, depth first."""
        for name in self.model_extra or ():
            yield f"{path}{name}"
        for name, info in type(self).model_fields.items():
            alias = info.alias or name
            value = getattr(self, name)
            if isinstance(value, ApiModel):
                yield from value.unknown_fields(f"{path}{alias}.")
            elif isinstance(value, tuple | list):
                for index, item in enumerate(value):
                    if isinstance(item, ApiModel):
                        yield from item.unknown_fields(f"{path}{alias}[{index}].")

    def to_json(self) -> dict[str, Any]:
        """The object as JSON, in Kubernetes spelling, without what was not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def problems_of(error: ValidationError, root: str) -> list[str]:
    """One line for each fault, `spec.headers[0].name: what to do`. Values are never repeated: they may be secrets."""
    return [f"{_path(root, item)}: {_sentence(item)}" for item in error.errors(include_url=False, include_input=False)]


def _path(root: str, item: Any) -> str:
    path = root
    for part in item["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    blamed = (item.get("ctx") or {}).get("field") if item["type"] == "rule" else None
    return f"{path}.{blamed}" if blamed else path


def _sentence(item: Any) -> str:
    context = item.get("ctx") or {}
    match item["type"]:
        case "missing":
            return "is required"
        case "string_too_long":
            return f"is too long: at most {context['max_length']} characters"
        case "too_long":
            return f"has too many items: at most {context['max_length']}"
        case "literal_error":
            return f"must be one of {context['expected']}"
        case _:
            message = str(item["msg"])
            return message[:1].lower() + message[1:]
