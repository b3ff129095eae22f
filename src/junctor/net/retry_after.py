"""The Retry-After header (RFC 9110, section 10.2.3)."""

import re
from datetime import datetime
from typing import Final

from junctor.net.timestamps import http_date

#: Servers send fractions too, although the RFC allows whole seconds only.
_SECONDS: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """The seconds that a Retry-After header asks for, at least 0; None when it is missing or unreadable.

    value: seconds or an HTTP date. now: with a time zone. The caller decides how long it is willing to wait.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    date = http_date(text)
    return None if date is None else max(0.0, (date - now).total_seconds())
