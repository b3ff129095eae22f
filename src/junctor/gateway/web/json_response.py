"""JSON answers, the same on both ports."""

import json
from typing import Any

from starlette.responses import Response


class JSONResponse(Response):
    """Compact JSON in UTF-8."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode `content`; a lone surrogate, which UTF-8 cannot express, becomes a question mark."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
