"""What pydantic found wrong with a document, as one sentence for each fault. Values are never repeated: they may be secrets."""

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of an object. path: names and list indexes from its root. message: what to do; never a value, which may be a secret."""

    path: tuple[str | int, ...]
    message: str

    def __str__(self) -> str:
        return f"{path_text(self.path)}: {self.message}"


def faults_of(error: ValidationError, root: str) -> list[Fault]:
    """Every fault of the object at path `root`, with all broken rules of each object instead of only the first.

    An error of type `rule` lists the broken rules in its context, one of type `duplicate` the index of the repeated item.
    """
    faults = []
    for item in error.errors(include_url=False, include_input=False):
        path: tuple[str | int, ...] = (root, *item["loc"])
        if item["type"] == "rule":
            faults += [Fault((*path, rule.field) if rule.field else path, rule.message) for rule in item["ctx"]["rules"]]
        elif item["type"] == "duplicate":
            faults.append(Fault((*path, item["ctx"]["index"]), str(item["msg"])))
        else:
            faults.append(Fault(path, _sentence(item)))
    return faults


def problems_of(error: ValidationError, root: str) -> list[str]:
    """One line per fault, `spec.headers[0].name: what to do`. Values are never quoted, because they may be secrets."""
    return [str(fault) for fault in faults_of(error, root)]


def path_text(path: tuple[str | int, ...]) -> str:
    """A path in its usual notation: `spec.headers[0].name`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")


def _sentence(item: Any) -> str:
    context = item.get("ctx") or {}
    match item["type"]:
        case "missing":
            return "is required"
        case "string_too_long":
            return f"is too long: at most {context['max_length']} characters"
        case "string_too_short":
            return f"is too short: at least {context['min_length']} characters"
        case "too_short":
            return f"has too few items: at least {context['min_length']}"
        case "too_long":
            return f"has too many items: at most {context['max_length']}"
        case "literal_error":
            return f"must be one of {context['expected']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "string_type":
            return "must be a string; put quotes around it"
        case "bool_type":
            return "must be true or false"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "tuple_type":
            return "must be a list"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be an object with fields"
        case _:
            message = str(item["msg"])
            return message[:1].lower() + message[1:]
