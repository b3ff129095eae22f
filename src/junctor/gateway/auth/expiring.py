"""A bounded memory in which everything ends at its time."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Expiring(Generic[Value]):
    """At most `size` values; the one that was not used for longest goes first. clock: seconds."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._size = size
        self._clock = clock
        self._values: OrderedDict[bytes, tuple[Value, float]] = OrderedDict()

    def get(self, key: bytes) -> Value | None:
        """The value, unless its time is over."""
        value, end = self._values.get(key, (None, 0.0))
        if value is None:
            return None
        if end <= self._clock():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return value

    def put(self, key: bytes, value: Value, end: float) -> None:
        """Remember a value until the clock shows `end`."""
        self._values.pop(key, None)
        if end <= self._clock():
            return
        self._values[key] = (value, end)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    def __len__(self) -> int:
        return len(self._values)
