"""What is wrong with manifests, in one form for `validate`, `render` and the standalone server."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypedDict


class InputError(Exception):
    """The input as a whole cannot be used, for example because a path does not exist. The message says what to change."""


class ProblemJSON(TypedDict):
    """A problem as JSON on a standalone's management port."""

    file: str
    message: str
    line: int | None
    column: int | None


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file, and what to do; the message never contains the value of a field, which may be a secret.

    line and column count from 1; they are None when the whole file is meant.
    """

    file: str
    message: str
    line: int | None = None
    column: int | None = None
    severity: Literal["error", "warning"] = "error"

    def to_json(self) -> ProblemJSON:
        """The problem as the management port shows it, without its severity."""
        return {"file": self.file, "message": self.message, "line": self.line, "column": self.column}

    def __str__(self) -> str:
        place = "".join(f":{number}" for number in (self.line, self.column) if number is not None)
        return f"{self.file}{place}: {'warning: ' if self.severity == 'warning' else ''}{self.message}"


def sorted_problems(problems: Iterable[Problem]) -> list[Problem]:
    """Sort problems by file and place."""
    return sorted(problems, key=lambda problem: (problem.file, problem.line or 0, problem.column or 0))
