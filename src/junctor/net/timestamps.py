"""Times as text: RFC 3339 as Kubernetes writes it, and the dates of HTTP headers."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal


def rfc3339(moment: datetime, precision: Literal["seconds", "milliseconds", "microseconds"] = "seconds") -> str:
    """`2026-11-21T12:00:00Z`. moment: with a time zone; fractions beyond the precision are cut off."""
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def http_date(value: str | None) -> datetime | None:
    """The moment that a header such as Date names, with its time zone; None when it is missing or unreadable."""
    try:
        date = parsedate_to_datetime(value or "")
    except (ValueError, OverflowError):
        return None
    return date.replace(tzinfo=date.tzinfo or UTC)
