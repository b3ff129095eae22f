"""A model server, trusted with the conversation only, whose answers cost far more than they weigh."""

import gzip
from collections.abc import Iterator
from itertools import repeat

import httpx
import pytest

from tests.support.attacks import bystander, cpu_seconds, memory, reset_peak
from tests.support.hostile_model import HostileModel, hostile_model
from tests.support.running_gateway import RunningGateway, running_gateway

MIB = 1024 * 1024
_BEGINNING = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'


@pytest.fixture(scope="module")
def model() -> Iterator[HostileModel]:
    """The model server."""
    with hostile_model() as server:
        yield server


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory, model: HostileModel) -> Iterator[RunningGateway]:
    """A gateway that uses it."""
    with running_gateway(tmp_path_factory.mktemp("victim"), "--upstream", model.url) as gateway:
        yield gateway


def ask(victim: RunningGateway, path: str) -> httpx.Response:
    """Send a request that a path takes."""
    with httpx.Client(timeout=60, trust_env=False) as http:
        if path == "models":
            return http.get(f"{victim.url}/models")
        body = {"model": "m", "input": "hi"} if path == "responses" else {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
        return http.post(f"{victim.url}/{path}", json=body)


@pytest.mark.parametrize("path", ["responses", "chat/completions", "models"])
@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_compressed_answers_are_not_unpacked(victim: RunningGateway, model: HostileModel, path: str, kind: str) -> None:
    ask(victim, path)  # what is imported at first use is not the attack's
    bomb = gzip.compress(gzip.compress(bytes(400 * MIB)))
    model.answers(lambda: [bomb], kind, Content_Encoding="gzip, gzip")
    before = reset_peak(victim.process)
    assert ask(victim, path).status_code == 502
    assert memory(victim.process).peak - before.now < 32


def test_an_event_in_small_pieces_takes_time_by_its_size(victim: RunningGateway, model: HostileModel) -> None:
    ask(victim, "responses")
    small = b"1\r\nx\r\n" * 10_000
    beginning = b'data: {"choices":[{"index":0,"delta":{"content":"' + b"x" * 2 * MIB
    pieces = (b"%x\r\n%s\r\n" % (len(beginning), beginning), small, b"0\r\n\r\n")
    model.answers(lambda: pieces, Transfer_Encoding="chunked")
    before = cpu_seconds(victim.process)
    with bystander(f"{victim.management}/-/livez") as probes:
        assert ask(victim, "responses").status_code == 502
    assert not probes.failures
    assert cpu_seconds(victim.process) - before < 2


@pytest.mark.parametrize("path", ["responses", "models"])
def test_values_are_counted_before_they_are_parsed(victim: RunningGateway, model: HostileModel, path: str) -> None:
    ask(victim, path)
    lists = b",".join(repeat(b"[]", MIB))
    if path == "models":
        model.answers(lambda: (b'{"data":[' + lists + b"]}",), "application/json")
    else:
        model.answers(lambda: (_BEGINNING, b'data: {"choices":[' + lists + b"]}\n\n"))
    before = reset_peak(victim.process)
    assert ask(victim, path).status_code == 502
    assert memory(victim.process).peak - before.now < 48
