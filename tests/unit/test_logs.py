"""Logs are one JSON object on each line, whatever is logged."""

import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from junctor.logs import configure_logging


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_has_time_severity_message_logger_and_what_was_given_beside(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    extra = {"object": {"kind": "MCPConnector", "name": "ä"}, "time": "not mine", "odd": object}
    logging.getLogger("junctor.x").warning("two\nlines of %s", "text", extra=extra)
    (line,) = logged(capsys)
    assert datetime.fromisoformat(str(line.pop("time"))).tzinfo is not None
    assert line == {
        "severity": "WARNING",
        "message": "two\nlines of text",
        "logger": "junctor.x",
        "object": {"kind": "MCPConnector", "name": "ä"},
        "odd": "<class 'object'>",
    }


def test_an_exception_is_text_in_the_same_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("junctor").exception("it failed")
    (line,) = logged(capsys)
    assert str(line["exception"]).startswith("Traceback")
    assert str(line["exception"]).endswith("ValueError: broken")


HOSTILE = "\x1b]0;owned\x07\x9b2J\u202etxt\u200b\u2066\r\x85\u2028"


def test_text_of_others_acts_on_no_terminal_and_looks_like_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "info")
    try:
        raise ValueError(f"{HOSTILE}\nINFO forged: by an error")
    except ValueError:
        logging.getLogger("junctor").exception("a server says %s", f"{HOSTILE}\nINFO forged: by a message")
    written = capsys.readouterr().err
    first, *others = written.removesuffix("\n").split("\n")
    assert " ERROR   junctor: a server says " in first
    assert all(line.startswith("    ") for line in others)
    assert [line for line in others if "forged" in line]
    assert written.replace("\n", "").isprintable()


def test_json_is_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("json", "info")
    logging.getLogger("junctor").info("%s", HOSTILE, extra={"odd": HOSTILE})
    written = capsys.readouterr().err
    assert written.isascii()
    assert written.removesuffix("\n").isprintable()
    line = json.loads(written)
    assert (line["message"], line["odd"]) == (HOSTILE, HOSTILE)


def test_the_level_and_the_text_form_are_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("text", "error")
    logging.getLogger("junctor").warning("quiet")
    logging.getLogger("junctor").error("loud")
    assert capsys.readouterr().err.endswith(" ERROR   junctor: loud\n")
