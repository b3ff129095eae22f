"""Signal, acknowledgement and refusal: what one plane writes the other one reads, and a stranger's answer is bounded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from junctor.connectormap.errors import InvalidMessage
from junctor.connectormap.messages import Acknowledgement, ReloadRefusal, ReloadSignal

words = st.text(max_size=90)
sequences = st.integers(0, 2**53)


@given(sequence=st.integers(0, 2**63 - 1), peers=st.lists(words, max_size=3))
def test_a_signal_survives_the_round_trip(sequence: int, peers: list[str]) -> None:
    signal = ReloadSignal(sequence, tuple(peers))
    assert ReloadSignal.parse(signal.to_json()) == signal


@given(sequence=sequences, revision=words, rejected=st.dictionaries(words, words, max_size=3), applied_at=words)
def test_an_acknowledgement_survives_the_round_trip(sequence: int, revision: str, rejected: dict[str, str], applied_at: str) -> None:
    acknowledgement = Acknowledgement(sequence, revision, rejected, applied_at)
    assert Acknowledgement.parse(acknowledgement.to_json(), 0) == acknowledgement


@given(error=words, sequence=sequences, revision=words)
def test_a_refusal_survives_the_round_trip(error: str, sequence: int, revision: str) -> None:
    for refusal in (ReloadRefusal(error), ReloadRefusal(error, sequence, revision)):
        assert ReloadRefusal.parse(refusal.to_json(), 0) == refusal


@pytest.mark.parametrize("value", [None, [], 7, "41", {}, {"sequence": "41"}, {"sequence": True}, {"sequence": -1}, {"sequence": 2**63}])
def test_a_signal_needs_a_sequence(value: Any) -> None:
    with pytest.raises(InvalidMessage, match="sequence must be a whole number"):
        ReloadSignal.parse(value)


@pytest.mark.parametrize("peers", [None, "a", [1], {"a": "b"}])
def test_the_peers_of_a_signal_are_names(peers: Any) -> None:
    with pytest.raises(InvalidMessage, match="peers must be a list of names"):
        ReloadSignal.parse({"sequence": 1, "peers": peers})


@pytest.mark.parametrize("value", [None, [], "ok", {}, {"sequence": 1.5}, {"sequence": True}, {"sequence": -1}, {"sequence": 2**53 + 1}])
def test_what_is_no_acknowledgement(value: Any) -> None:
    with pytest.raises(InvalidMessage):
        Acknowledgement.parse(value, 41)
    assert ReloadRefusal.parse({"error": "no", "serving": value}, 41).sequence is None


def test_a_pod_may_acknowledge_the_sequence_of_the_signal_however_high() -> None:
    assert Acknowledgement.parse({"sequence": 2**60}, 2**60).sequence == 2**60


def test_texts_of_a_pod_are_bounded_and_what_is_no_rejection_is_left_out() -> None:
    rejected = [{"id": "i" * 400, "reason": "r" * 400}, {"reason": "no id"}, 7, {"id": "a"}]
    found = Acknowledgement.parse({"sequence": 1, "revision": "x" * 400, "rejected": rejected}, 1)
    assert (found.revision, dict(found.rejected)) == ("x" * 100, {"i" * 300: "r" * 300, "a": ""})
    assert Acknowledgement.parse({"sequence": 1, "rejected": {"a": "b"}}, 1).rejected == {}
    assert ReloadRefusal.parse({"error": "e" * 600}, 1) == ReloadRefusal("e" * 500)
    assert ReloadRefusal.parse("nonsense", 1) == ReloadRefusal("")
