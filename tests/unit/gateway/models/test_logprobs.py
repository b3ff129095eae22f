"""Log probabilities as model servers give them, with parts left out."""

import math
from typing import Any

import pytest

from junctor.gateway.models.logprobs import token_logprobs


def test_what_a_server_leaves_out_is_added() -> None:
    [token] = token_logprobs({"content": [{"token": "ö", "logprob": -0.5}]})
    assert token == {"token": "ö", "logprob": -0.5, "bytes": [195, 182], "top_logprobs": []}


def test_bytes_of_half_a_character_stay() -> None:
    [token] = token_logprobs(
        {"content": [{"token": "\ufffd", "logprob": -1, "bytes": [195], "top_logprobs": [{"token": "a", "logprob": -2}]}]}
    )
    assert (token["bytes"], token["top_logprobs"]) == ([195], [{"token": "a", "logprob": -2, "bytes": [97]}])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"content": None},
        {"content": ["a"]},
        {"content": [{"token": 1, "logprob": -1.0}]},
        {"content": [{"token": "a", "logprob": -math.inf}]},
        {"content": [{"token": "a", "logprob": "-1"}]},
    ],
)
def test_what_cannot_be_read_is_left_out(value: Any) -> None:
    assert token_logprobs(value) == ()
