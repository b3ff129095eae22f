"""Pauses double up to a limit and are spread by jitter."""

import pytest

from junctor.net.backoff import Backoff


def test_pauses_double_from_the_first_to_the_last() -> None:
    backoff = Backoff(first=0.5, last=3.0, jitter=0.0)
    assert [backoff.pause(failures) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_any_number_of_failures_has_a_pause() -> None:
    assert Backoff(first=0.5, last=3.0, jitter=0.0).pause(10**9) == 3.0


@pytest.mark.parametrize(("share", "pause"), [(0.0, 0.75), (1.0, 1.25)])
def test_jitter_spreads_each_pause(share: float, pause: float) -> None:
    backoff = Backoff(first=1.0, last=3.0, jitter=0.25, uniform=lambda low, high: low + share * (high - low))
    assert backoff.pause(1) == pause
