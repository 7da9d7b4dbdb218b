"""Models whose outputs are no plain logits: tuples, two heads, and teachers that are only tapped for features."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.engine import Optimizer, steps
from limbeck.engine.training import Training
from limbeck.objectives import HardTargets, Hint, SoftTargets, TeacherArgmax
from limbeck.tasks import MultilabelClassification

TRAINING = Training(length=steps(60), batch_size=32, optimizer=Optimizer("adam", lr=0.05))
CLASSES, FEATURES = 4, 6


def items(count: int = 96, seed: int = 0, *, labelled: bool = True) -> Items:
    draw = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, FEATURES, generator=draw)
    return Items.from_tensors(inputs, inputs[:, :CLASSES].argmax(1) if labelled else None, classes=CLASSES)


class Oracle(nn.Module):
    """Logits that are right."""

    def forward(self, inputs: Tensor) -> Tensor:
        return 5 * inputs[:, :CLASSES]


class TwoOutputs(nn.Module):
    """Returns `(features, logits)`; the features are as many as classes and predict nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(FEATURES, CLASSES), nn.Linear(CLASSES, CLASSES)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(inputs)
        return features, self.head(features.tanh())


class TwoHeads(nn.Module):
    """Returns the outputs of a head and of a distillation head, as DeiT does in training."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.head_dist = nn.Linear(FEATURES, CLASSES), nn.Linear(FEATURES, CLASSES)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(inputs), self.head_dist(inputs)


class Headless(nn.Module):
    """Features alone."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.body = nn.Linear(FEATURES, size)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.body(inputs)
        return found


def test_the_chosen_output_is_trained_validated_judged_and_kept(tmp_path: Path) -> None:
    job = Distillation(
        TwoOutputs(), Oracle(), terms=[Term(SoftTargets(temperature=1))], training=TRAINING,
        student_options={"output": "(1)"}, folder=tmp_path,
    )  # fmt: skip
    student = job.fit(items(), validation=items(40, 1))
    test = items(200, 2)
    verdict = job.evaluate(test)
    inputs, target = test.fetch(torch.arange(200)), test.target
    assert target is not None
    with torch.no_grad():
        accuracy = float((student(inputs).argmax(1) == target).double().mean())
        weights = student.model if isinstance(student.model, nn.Module) else student
        logits = weights(inputs)[1]
    assert torch.equal(student(inputs), logits)
    assert verdict.student.metric == pytest.approx(accuracy)
    assert accuracy > 0.6
    assert verdict.control is not None
    assert verdict.control.metric > 0.6  # trained at the same output
    assert job.scores["student"][0] > 0.6


def test_a_tuple_without_a_choice_is_refused_before_training() -> None:
    job = Distillation(TwoOutputs(), Oracle(), terms=[Term(SoftTargets())], training=TRAINING)
    with pytest.raises(ValueError, match=r"several could be its logits; choose one by the actor's output"):
        job.check(items())


def test_two_heads_are_trained_and_judged_each_and_together() -> None:
    terms = [Term(HardTargets(), student="head"), Term(TeacherArgmax(), student="head_dist", teacher="teacher")]
    evaluate = {"head": "student:head", "dist": "student:head_dist", "both": Ensemble(["student:head", "student:head_dist"])}
    job = Distillation(TwoHeads(), Oracle(), terms=terms, evaluate=evaluate, training=TRAINING)
    job.fit(items())
    verdict = job.evaluate(items(200, 2))
    assert list(verdict.results) == ["head", "dist", "both"]
    for result in verdict.results.values():
        assert result.distilled.metric > 0.6
        assert result.control is not None
        assert result.control.metric > 0.6


@pytest.mark.parametrize("size", [CLASSES + 1, 64])
def test_a_teacher_that_is_only_tapped_for_features_is_not_compared_with(size: int) -> None:
    terms = [Term(HardTargets()), Term(Hint(), student="body", teacher="body")]
    job = Distillation(TwoOutputs(), Headless(size), terms=terms, training=TRAINING, student_options={"output": "(1)"})
    job.fit(items())
    verdict = job.evaluate(items(100, 2))
    assert (verdict.teacher, verdict.retention) == (None, None)
    assert "kept" not in verdict.sentence()


def test_items_without_labels_train_without_a_control() -> None:
    job = Distillation(nn.Linear(FEATURES, CLASSES), Oracle(), terms=[Term(SoftTargets())], training=TRAINING, control=False)
    job.fit(items(labelled=False))
    verdict = job.evaluate(items(100, 2))
    assert verdict.control is None
    assert verdict.student.metric > 0.6


def test_a_softmax_over_independent_labels_is_refused_in_python_too() -> None:
    message = r"terms.0: hard_targets is a softmax over classes, and the labels of multilabel_classification"
    with pytest.raises(ValueError, match=message):
        Distillation(Oracle(), terms=[Term(HardTargets())], task=MultilabelClassification())
    with pytest.raises(ValueError, match=r"controls.smooth.terms.0: soft_targets is a softmax"):
        Distillation(
            nn.Linear(3, 3), task=MultilabelClassification(), terms=MultilabelClassification().hard_terms(),
            controls={"smooth": {"terms": [Term(SoftTargets(), teacher="student")]}},
        )  # fmt: skip
    features = Term(Hint(), student="body", teacher="body")
    Distillation(Headless(3), Headless(3), terms=[features], task=MultilabelClassification())  # compares no outputs


def test_a_result_whose_name_is_no_file_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"evaluate: 'a/b' names a folder; use up to 100 letters"):
        Distillation(nn.Linear(FEATURES, CLASSES), terms=[Term(HardTargets())], evaluate={"a/b": "student"})
