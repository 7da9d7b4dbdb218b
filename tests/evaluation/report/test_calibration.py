"""The reliability diagram."""

from limbeck.evaluation.examples import Bin
from limbeck.evaluation.report.calibration import calibration


def test_bins_of_all_arms_and_their_errors(rich):
    section = str(calibration(rich))
    assert section.count('<th scope="row">') == sum(len(bins) for bins in rich.calibration.values())
    assert f"student {rich.arms.student.ece:.3f}" in section


def test_bins_of_too_few_answers_are_listed_but_not_drawn(rich):
    few = rich.model_copy(update={"calibration": {"student": [Bin(confidence=0.5, accuracy=1.0, count=2)]}})
    section = str(calibration(few))
    assert "50.0 %" in section
    assert calibration(rich.model_copy(update={"calibration": {}})) is None
