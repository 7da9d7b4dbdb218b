"""NaN and infinity stop the run."""

from __future__ import annotations

import pytest
import torch

from limbeck.engine.finite_check import FiniteCheck, NonFiniteError, check_weights


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_stops_the_run(value: float) -> None:
    finite = FiniteCheck()
    good, bad = torch.tensor(1.0), torch.tensor(value)
    finite.add({"loss": good, "hard_targets": good, "soft_targets": good}, update=6)
    with pytest.raises(NonFiniteError, match=r"term 'soft_targets' became NaN or infinite at step 7.*checkpoint.*smaller"):
        finite.add({"loss": bad, "hard_targets": good, "soft_targets": bad}, update=7)
    with pytest.raises(NonFiniteError, match="the loss became"):
        finite.add({"loss": bad}, update=7)


def test_a_weight_that_is_nan_is_named() -> None:
    weights = {"w": torch.tensor([1.0, float("nan")]), "count": torch.tensor(3)}
    with pytest.raises(NonFiniteError, match="w of the student holds NaN at step 4, so no checkpoint is written"):
        check_weights({"teacher": {"w": torch.ones(1)}, "student": weights}, update=4)
