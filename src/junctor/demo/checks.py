"""Prints the demo step by step and checks each claim.

StepFailed      a step did not do what it claims; the message names the step and what happened instead
"""

import time
from collections.abc import Callable
from typing import Final

#: Seconds within which each step must show its effect. A few hundredths are normally enough.
DEADLINE: Final = 15.0
_POLL: Final = 0.005


class StepFailed(Exception):
    """A step did not do what it claims."""


class Checks:
    """Prints numbered steps and checks what they claim. say: prints one line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.step = 0

    def begin_step(self, text: str) -> None:
        """Number the next step and print its title."""
        self.step += 1
        self.say(f"\n{self.step}. {text}")

    def show(self, text: str) -> None:
        """Print a text of one or more lines as a quotation."""
        for line in text.rstrip().splitlines():
            self.say(f"   | {line}".rstrip())

    def check(self, fact: object, failure: str) -> None:
        """Raise StepFailed with the text `failure` unless `fact` is true."""
        if not fact:
            raise self.failure(failure)

    def wait_for(self, effect: Callable[[], bool], failure: str) -> None:
        """Wait until `effect` is true. Raises StepFailed with the text `failure` after the deadline."""
        deadline = time.monotonic() + DEADLINE
        while not effect():
            if time.monotonic() > deadline:
                raise self.failure(f"{failure} within {DEADLINE:.0f} s")
            time.sleep(_POLL)

    def failure(self, reason: str) -> StepFailed:
        """Return the error of the current step."""
        return StepFailed(f"step {self.step}: {reason}")
