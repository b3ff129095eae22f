"""Logs of every Junctor process: one JSON object on each line of standard error, or text for people."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final, Literal

Format = Literal["json", "text"]

#: What a LogRecord has by itself; anything else was given with `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}


class JSONFormatter(logging.Formatter):
    """A record as `{"time", "severity", "message", "logger"}` and what was given with `extra`; an exception in `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, never more."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "severity": record.levelname,
            "message": record.getMessage(),
            "logger": record.name,
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD and key not in line}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(format: Format = "json", level: str = "INFO") -> None:  # noqa: A002  # named after the option
    """Send the logs of this process to standard error, replacing what was configured before. Raises ValueError for an unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    if format == "json":
        handler.setFormatter(JSONFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for chatty in ("httpx", "watchfiles"):  # a line for each request, with its URL, and for each change of a watched file
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
