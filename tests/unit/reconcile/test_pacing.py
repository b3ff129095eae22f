"""The first change goes out at once; under sustained change publishing slows down to once a second."""

import pytest

from junctor.reconcile.pacing import FIRST_GAP, LONGEST_GAP, QUIET, Pacer


def test_first_change_waits_for_nothing() -> None:
    assert Pacer().delay(100.0) == 0.0


def test_second_change_waits_for_the_first_gap() -> None:
    pacer = Pacer()
    pacer.published(100.0)
    assert pacer.delay(100.0) == pytest.approx(FIRST_GAP)
    assert pacer.delay(100.0 + FIRST_GAP / 2) == pytest.approx(FIRST_GAP / 2)


def test_gaps_double_under_sustained_change_up_to_the_longest() -> None:
    pacer, now, gaps = Pacer(), 100.0, []
    for _ in range(8):
        gap = pacer.delay(now)
        gaps.append(gap)
        now += gap
        pacer.published(now)
    assert gaps == pytest.approx([0.0, 0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_GAP, LONGEST_GAP])


def test_change_after_a_quiet_time_goes_out_at_once_and_starts_over() -> None:
    pacer, now = Pacer(), 100.0
    for _ in range(4):
        now += pacer.delay(now)
        pacer.published(now)
    now += QUIET
    assert pacer.delay(now) == 0.0
    pacer.published(now)
    assert pacer.delay(now) == pytest.approx(FIRST_GAP)


def test_delay_is_never_negative() -> None:
    pacer = Pacer()
    pacer.published(100.0)
    assert pacer.delay(100.9) == 0.0


def test_changes_slower_than_the_gap_never_wait() -> None:
    pacer, now, gaps = Pacer(), 100.0, []
    for _ in range(8):
        gaps.append(pacer.delay(now))
        pacer.published(now)
        now += 0.8
    assert gaps == [0.0] * 8
