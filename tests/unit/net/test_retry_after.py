"""Retry-After is seconds or a date; anything else is as if it were missing."""

from datetime import UTC, datetime

import pytest

from junctor.net.retry_after import retry_after_seconds

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        ("Sat, 21 Nov 2026 12:01:00 GMT", 60.0),
        ("Sat, 21 Nov 2026 12:01:00 -0000", 60.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
    ],
)
def test_seconds_and_dates_are_read(value: str, seconds: float) -> None:
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-1", "1e3", "12345678901", "²", "Sat, 99 Nov 2026 12:01:00 GMT"])
def test_what_cannot_be_read_is_as_if_it_were_missing(value: str | None) -> None:
    assert retry_after_seconds(value, NOW) is None
