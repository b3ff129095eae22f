"""Times as text."""

from datetime import UTC, datetime, timedelta, timezone

from junctor.net.timestamps import http_date, rfc3339

MOMENT = datetime(2026, 11, 21, 13, 30, 5, 123456, tzinfo=timezone(timedelta(hours=1)))


def test_times_are_written_in_utc_at_the_precision_that_is_wanted() -> None:
    assert rfc3339(MOMENT) == "2026-11-21T12:30:05Z"
    assert rfc3339(MOMENT, "milliseconds") == "2026-11-21T12:30:05.123Z"
    assert rfc3339(MOMENT, "microseconds") == "2026-11-21T12:30:05.123456Z"


def test_dates_of_headers_have_a_time_zone() -> None:
    assert http_date("Sat, 21 Nov 2026 12:30:05 -0000") == datetime(2026, 11, 21, 12, 30, 5, tzinfo=UTC)
    assert http_date("yesterday") is None
    assert http_date(None) is None
