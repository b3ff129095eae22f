"""How the demo numbers its steps and reports that one failed."""

import pytest

from junctor.demo import checks
from junctor.demo.checks import Checks, StepFailed


def test_failure_names_its_step() -> None:
    lines: list[str] = []
    steps = Checks(lines.append)
    steps.begin_step("one")
    steps.begin_step("two")
    assert lines == ["\n1. one", "\n2. two"]
    steps.check(True, "no failure")
    with pytest.raises(StepFailed, match=r"^step 2: it is not there$"):
        steps.check(False, "it is not there")


def test_effect_that_does_not_come_fails_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "DEADLINE", 0.01)
    with pytest.raises(StepFailed, match="step 0: no effect within"):
        Checks(print).wait_for(lambda: False, "no effect")
