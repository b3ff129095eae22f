"""Request ids: `x-request-id` of every answer, which OpenAI's clients show as `_request_id`, and which log lines about failures repeat."""

import re
import uuid
from collections.abc import Iterable
from typing import Final

HEADER: Final = b"x-request-id"
_USABLE: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_id_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The caller's own id if it sent exactly one that is safe in logs and headers, else a new one that nobody can guess."""
    sent = [value.decode("latin-1") for name, value in headers if name == HEADER]
    return sent[0] if len(sent) == 1 and _USABLE.fullmatch(sent[0]) else f"req_{uuid.uuid4().hex}"
