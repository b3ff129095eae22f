"""Pauses between attempts at the same thing."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: 2 ** 1023 is the largest power of two that a float holds; no pause needs an exponent anywhere near it.
_MAX_DOUBLINGS: Final = 64


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff: pauses that double from `first` to `last` seconds.

    jitter: each pause is multiplied by a random factor between 1 - jitter and 1 + jitter, so that many clients do not retry at once.
    uniform: draws that factor from an interval.
    """

    first: float
    last: float
    jitter: float = 0.2
    uniform: Callable[[float, float], float] = random.uniform

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many consecutive failures, at least one."""
        pause = min(self.last, self.first * 2.0 ** min(failures - 1, _MAX_DOUBLINGS))
        return pause * self.uniform(1 - self.jitter, 1 + self.jitter) if self.jitter else pause
