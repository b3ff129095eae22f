"""The base of all resource models: Kubernetes spelling, rules written once for CEL and Python, unknown fields kept."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from junctor.net.formats import KubernetesObject


def _reject_text(value: Any) -> Any:
    if isinstance(value, str | bool):
        raise PydanticCustomError("int_type", "must be a whole number")
    return value


def without_duplicates(items: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse duplicate items, as the API server does for lists of type `set`."""
    for index, item in enumerate(items):
        if item in items[:index]:
            raise PydanticCustomError("duplicate", "is a duplicate; remove it", {"index": index})
    return items


#: Added to `int`, accepts the numbers that the API server accepts: 5.0, but neither "5" nor true.
WHOLE = BeforeValidator(_reject_text)
#: A boolean as the API server accepts it: neither "yes" nor 1.
Flag = Annotated[bool, Field(strict=True)]


@dataclass(frozen=True, slots=True)
class Rule:
    """One validation rule of an object: in CEL for the API server and in Python for offline use.

    cel: expression over `self`, true when the object is valid. message: says what to do. field: the property that is at fault, if it is
    a single one. check: the same rule in Python; None if only the API server can check it (rules that compare with `oldSelf`).
    """

    cel: str
    message: str
    field: str | None = None
    check: Callable[[Any], bool] | None = None


def cel_string(text: str) -> str:
    """Text, such as a regular expression, as a CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(char if char.isascii() else f"\\U{ord(char):08x}" for char in escaped) + "'"


class ApiModel(BaseModel):
    """A part of a resource. Unknown fields are kept (`unknown_fields`), so that the caller decides what they mean."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)

    #: Rules of this object, rendered into the CRD as x-kubernetes-validations and checked here as well.
    rules: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _follows_rules(self) -> Self:
        broken = [rule for rule in self.rules if rule.check is not None and not rule.check(self)]
        if broken:
            raise PydanticCustomError("rule", "{message}", {"message": broken[0].message, "rules": broken})
        return self

    def unknown_fields(self, path: str = "") -> Iterator[str]:
        """Yield the paths of the fields that this version does not know, such as `auth.mtls`, depth first."""
        for name in self.model_extra or ():
            yield f"{path}{name}"
        for place, part in self._parts():
            yield from part.unknown_fields(f"{path}{place}.")

    def _parts(self) -> Iterator[tuple[str, "ApiModel"]]:
        """Yield the models directly below this one, each with its field, such as `headers[0]`."""
        for name, info in type(self).model_fields.items():
            alias, value = info.alias or name, getattr(self, name)
            if isinstance(value, ApiModel):
                yield alias, value
            elif isinstance(value, tuple | list):
                yield from ((f"{alias}[{index}]", item) for index, item in enumerate(value) if isinstance(item, ApiModel))

    def to_json(self) -> KubernetesObject:
        """The object as JSON in Kubernetes spelling, without fields that were not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)
