"""What a request held is free once it is answered. The garbage collector, which counts objects, would leave large bodies for long."""

import gc
import json
from collections.abc import Sequence
from typing import Any

import pytest

from junctor.gateway.models.ports import TextDelta, UpstreamError
from junctor.gateway.web.errors import ApiError
from tests.unit.gateway.responses.fakes import FakeUpstream, Gateway, RawExchange, Step, answer

BROKEN = UpstreamError("it broke", code="server_error")
#: It becomes its own cause.
REFUSED = ApiError("refused", status=400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("rounds", "fields"),
    [
        pytest.param([answer()], {}, id="answered"),
        pytest.param([answer()], {"x": 1}, id="refused"),
        pytest.param([answer()], {"model": "another"}, id="unknown model"),
        pytest.param([[BROKEN]], {}, id="failed"),
        pytest.param([[REFUSED]], {}, id="refused later"),
        pytest.param([[TextDelta("a"), BROKEN]], {}, id="broke off"),
    ],
)
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    rounds: Sequence[Sequence[Step]], fields: dict[str, Any], *, stream: bool
) -> None:
    app = Gateway(FakeUpstream(*rounds)).app
    body = json.dumps({"model": "m", "input": "hi", "stream": stream, **fields}).encode()
    await RawExchange(app, body).run()  # makes what is made once
    gc.collect()
    gc.disable()
    try:
        await RawExchange(app, body).run()
        assert gc.collect() < 10
    finally:
        gc.enable()
