"""Counts of predictions that two arms share, against counting one by one."""

import numpy as np
import pytest

from limbeck.evaluation import Predictions
from limbeck.evaluation.agreement import agreement, contingency, teacher_agreement

from .report import made


def test_counts_agree_with_counting_one_by_one():
    answers = made.answers(5)
    student, control, teacher = (answers[arm].correct() for arm in ("student", "control", "teacher"))
    changes = made.verdict().result.changes
    assert set(changes) == {"teacher", "control"}
    for arm, other in (("control", control), ("teacher", np.repeat(teacher, 3, axis=0))):
        pairs = list(zip(student.ravel(), other.ravel(), strict=True))
        counted = [pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))]
        found = contingency(student, answers[arm].correct())
        assert [*found.model_dump().values()] == counted
        assert found.total == 3 * 600
        assert changes[arm] == found


def test_gain_is_what_was_gained_less_what_was_forgot():
    verdict = made.verdict()
    found = verdict.result.changes["control"]
    assert verdict.gain.value == pytest.approx((found.student_only - found.other_only) / found.total)


def test_agreement_is_the_share_of_equal_classes():
    student = np.array([[[1, 0], [0, 1]], [[0, 1], [0, 1]]])
    assert agreement(student, student[:1]) == 0.75


def test_teachers_of_other_classes_are_not_compared():
    answers = made.answers(5)
    student, teacher = answers["student"], answers["teacher"]
    wider = Predictions(np.pad(teacher.logits, ((0, 0), (0, 0), (0, 2)), constant_values=-9), teacher.labels)
    assert teacher_agreement(student, wider) is teacher_agreement(student, None) is None
    assert teacher_agreement(student, teacher) == made.verdict().result.agreement
