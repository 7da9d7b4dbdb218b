"""The reliability diagram."""

from limbeck.evaluation import CalibrationBin
from limbeck.evaluation.report.calibration import calibration

from ..conftest import with_result


def test_bins_of_all_arms_and_their_errors(rich):
    section = str(calibration(rich))
    assert section.count('<th scope="row">') == sum(len(arm.calibration) for arm in rich.arms.values())
    assert f"student {rich.student.ece:.3f}" in section


def test_bins_of_too_few_answers_are_listed_but_not_drawn(rich):
    bare = with_result(rich.model_copy(update={"teacher": None}), control=None)
    bins = [CalibrationBin(confidence=0.5, accuracy=1.0, count=2)]
    few = with_result(bare, distilled=rich.student.model_copy(update={"calibration": bins}))
    section = str(calibration(few))
    assert "50.0 %" in section
    none = with_result(bare, distilled=rich.student.model_copy(update={"calibration": []}))
    assert calibration(none) is None
