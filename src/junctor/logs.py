"""Logs of every Junctor process: one JSON object on each line of standard error, or text for people."""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from junctor.net.printable import printable_lines
from junctor.net.timestamps import rfc3339

Format = Literal["json", "text"]

#: What each line says of itself: attributes of a log record, and the fields that they become.
_FIELDS: Final = {"levelname": "severity", "message": "message", "name": "logger", "exc_info": "exception", "stack_info": "stack"}


class JSONFormatter(JsonFormatter):
    """A record as `{"time", "severity", "message", "logger"}` and what was passed as `extra`; an exception in `exception`."""

    def __init__(self) -> None:
        super().__init__(
            ("levelname", "message", "name"),
            style="__sequence__",
            rename_fields=_FIELDS,
            reserved_attrs=(*RESERVED_ATTRS, "time", "color_message", *_FIELDS.values()),
            json_default=str,
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """Put the time first, where people look for it."""
        log_data["time"] = rfc3339(datetime.fromtimestamp(record.created, UTC), "milliseconds")
        super().add_fields(log_data, record, message_dict)


class TextFormatter(logging.Formatter):
    """A record as one line; further lines of it, such as a traceback, are indented, so that no text of others looks like a record."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """Return the record without characters that act on a terminal."""
        return printable_lines(super().format(record), "\n    ")


def configure_logging(format: Format = "json", level: str = "INFO") -> None:  # noqa: A002  # named after the option
    """Send the logs of this process to standard error, replacing what was configured before. Raises ValueError for an unknown level."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter() if format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for chatty in ("httpx", "watchfiles"):  # a line for each request, with its URL, and for each change of a watched file
        logging.getLogger(chatty).setLevel(max(root.level, logging.WARNING))
