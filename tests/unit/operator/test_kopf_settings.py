"""What kopf does beside what it was asked for."""

import kopf
import pytest

from junctor.operator.app import _kopf_settings


@pytest.mark.parametrize("everywhere", [True, False])
def test_finalizers_of_other_operators_stay(everywhere: bool) -> None:
    """kopf takes its own finalizer off every object that no handler wants to keep, whoever put it there."""
    ours = _kopf_settings(everywhere).persistence.finalizer
    assert ours.startswith("junctor.dev/")
    assert ours != kopf.OperatorSettings().persistence.finalizer
