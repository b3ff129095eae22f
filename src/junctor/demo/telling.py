"""How the demo speaks, and checks what it says.

Failed      a step did not do what it says; the message says which and what was seen instead
"""

import time
from collections.abc import Callable
from typing import Final

#: Seconds in which each step has to show its effect. Normally a few hundredths are enough.
DEADLINE: Final = 15.0
_POLL: Final = 0.005


class Failed(Exception):
    """A step did not do what it says."""


class Telling:
    """A story in numbered steps. say: prints one line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.step = 0

    def title(self, text: str) -> None:
        """Begin the next step."""
        self.step += 1
        self.say(f"\n{self.step}. {text}")

    def show(self, text: str) -> None:
        """Quote a text of one or more lines."""
        for line in text.rstrip().splitlines():
            self.say(f"   | {line}".rstrip())

    def check(self, fact: object, otherwise: str) -> None:
        """Raise Failed unless it is a fact."""
        if not fact:
            raise self.failed(otherwise)

    def until(self, effect: Callable[[], bool], what: str) -> None:
        """Wait for an effect; raises Failed after the deadline. what: what was not seen."""
        deadline = time.monotonic() + DEADLINE
        while not effect():
            if time.monotonic() > deadline:
                raise self.failed(f"{what} within {DEADLINE:.0f} s")
            time.sleep(_POLL)

    def failed(self, what: str) -> Failed:
        """The error of this step."""
        return Failed(f"step {self.step}: {what}")
