"""Labels of a new domain, the student's own past and a teacher, on two samples."""

from __future__ import annotations

import pytest

from limbeck import methods
from limbeck.core.actors import frozen, snapshot
from tests.methods.two_samples import ONE_HOT, TASK, X, assert_equal, batch, criterion, gradients, net, of_linear


def test_the_past_holds_the_student_and_gets_no_gradient() -> None:
    made = methods.learning_without_forgetting(task=TASK, labels=0.5, past=2, temperature=2)
    assert set(made["actors"]) == {"past"}
    student = net(1)
    loss = criterion(made["terms"], {"student": student, "past": snapshot("student")}, batch())
    before = student(X).detach()
    assert_equal(gradients(loss(batch())["loss"], [student]), of_linear(0.5 * (before.softmax(-1) - ONE_HOT) / 2))
    with_other_weights = net(2)
    student.load_state_dict(with_other_weights.state_dict())
    logits = with_other_weights(X).detach()
    labels, past = logits.softmax(-1) - ONE_HOT, 2 * ((logits / 2).softmax(-1) - (before / 2).softmax(-1))
    assert_equal(gradients(loss(batch())["loss"], [student]), of_linear((0.5 * labels + 2 * past) / 2))
    assert_equal([p for p in loss.actors["past"].model.parameters() if p.requires_grad], [])


def test_distillation_alone_reads_the_teacher_only() -> None:
    made = methods.learning_without_forgetting(task=TASK, labels=0, past=0, soft=1, temperature=1)
    assert "actors" not in made
    student, teacher = net(1), net(2)
    loss = criterion(made["terms"], {"student": student, "teacher": frozen(teacher)}, batch())
    expected = (student(X).detach().softmax(-1) - teacher(X).detach().softmax(-1)) / 2
    assert_equal(gradients(loss(batch())["loss"], [student]), of_linear(expected))


@pytest.mark.parametrize("given", [{"past": -1}, {"labels": 0, "past": 0}, {"temperature": 0}])
def test_what_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="learning_without_forgetting: labels is"):
        methods.learning_without_forgetting(task=TASK, **given)
