"""Several labels of each item: from file to verdict, on handwritten digits with attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from limbeck import Distillation, Term, Training, epochs
from limbeck.data import Items, load_items
from limbeck.engine import Optimizer
from limbeck.evaluation import Predictions, load_predictions
from limbeck.evaluation.report.run import write_report
from limbeck.experiment.teacher_training import train_teacher
from limbeck.objectives import BinaryCrossEntropy, BinarySoftTargets
from limbeck.tasks import MultilabelClassification
from limbeck.tasks.multilabel_classification import MultilabelPredictions
from tests.tasks.multilabel_classification.attributes import ATTRIBUTES, write_digits


def network(width: int) -> nn.Module:
    return nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, len(ATTRIBUTES)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: Any) -> tuple[Items, Items]:
    folder = tmp_path_factory.mktemp("digits")
    write_digits(folder)
    read = MultilabelClassification().read_labels
    train, test = (load_items(folder / f"{part}.parquet", read_labels=read) for part in ("train", "test"))
    return train, test


@pytest.fixture(scope="module")
def job(data: tuple[Items, Items], tmp_path_factory: Any) -> Distillation:
    """A wide teacher of 900 digits; a narrow student, and its control, of which only 60 have labels."""
    train, _ = data
    optimizer = Optimizer("adam", lr=0.01)
    task = MultilabelClassification()
    teacher = train_teacher(
        lambda: network(128), train, Training(length=epochs(40), batch_size=64, optimizer=optimizer), task=task
    )
    job = Distillation(
        lambda: network(24),
        teacher,
        terms=lambda: [Term(BinaryCrossEntropy(), weight=0.1), Term(BinarySoftTargets(temperature=2), weight=0.9)],
        training=Training(length=epochs(30), batch_size=32, optimizer=optimizer),
        seeds=(0, 1),
        task=task,
        folder=tmp_path_factory.mktemp("run"),
    )
    job.fit(train.keep_labels(60))
    return job


def test_distillation_gives_a_real_effect(job: Distillation, data: tuple[Items, Items]) -> None:
    verdict = job.evaluate(data[1])
    assert verdict.teacher is not None
    assert verdict.teacher.metric > 0.93
    assert verdict.gain is not None
    assert verdict.gain.ci95[0] > 0.03  # at least three points
    assert verdict.retention is not None
    assert verdict.retention > 0.95
    assert verdict.classes == sorted(ATTRIBUTES)
    outputs = job.arms["student"][0](data[1].fetch(torch.arange(len(data[1])))).detach()
    by_class = f1_score(data[1].target, outputs > 0, average=None)
    assert verdict.student.per_seed[0] == pytest.approx(by_class.mean())
    both = [
        f1_score(data[1].target, model(data[1].fetch(torch.arange(len(data[1])))).detach() > 0, average=None)
        for model in job.arms["student"]
    ]
    assert verdict.student.per_class == pytest.approx(np.mean(both, 0))


def test_examples_show_sets_of_labels(job: Distillation, data: tuple[Items, Items]) -> None:
    verdict = job.evaluate(data[1])
    gained = [example for example in verdict.result.examples if example.kind == "gained"]
    assert gained
    for example in gained:
        true = {name for name, applies in zip(verdict.classes, data[1].target[example.item], strict=True) if applies}
        assert set((example.truth or "").split(", ")) == (true or {"no label"})
        assert (example.predictions["student"].score or 0) > (example.predictions["control"].score or 0)
    assert verdict.result.agreement is not None
    assert verdict.result.agreement > 0.9
    assert verdict.result.changes["control"].student_only > verdict.result.changes["control"].other_only


def test_the_report_shows_f1_by_class_and_the_examples(job: Distillation, data: tuple[Items, Items]) -> None:
    job.evaluate(data[1])
    assert job.experiment.folder is not None
    page = write_report(job.experiment.folder).read_text(encoding="utf-8")
    assert "F1 by class" in page
    assert "has a loop" in page
    assert "≈ is partly right" in page


def test_saved_predictions_give_the_same_metrics(job: Distillation, data: tuple[Items, Items]) -> None:
    verdict = job.evaluate(data[1])
    assert job.experiment.folder is not None
    found = load_predictions(job.experiment.folder)["student"]
    assert isinstance(found.own, MultilabelPredictions)
    precision = MultilabelClassification("mean_average_precision").metric
    for metric, value in ((job.experiment.task.metric, verdict.student.metric), (precision, 0.9)):
        scores = Predictions(own=found.own).item_statistics(metric)
        seeds = metric.compute(found.own.logits, found.own.labels)
        assert scores.shape[:2] == (2, len(data[1]))
        assert seeds.mean() == pytest.approx(value, abs=0.1 if metric is precision else 1e-9)


def test_the_average_precision_has_an_interval(job: Distillation, data: tuple[Items, Items]) -> None:
    task = job.experiment.task
    try:
        job.experiment.task.metric = MultilabelClassification("mean_average_precision").metric
        verdict = job.evaluate(data[1])
    finally:
        task.metric = MultilabelClassification().metric
    assert verdict.metric.name == "mean_average_precision"
    assert verdict.student.ci95[0] < verdict.student.metric < verdict.student.ci95[1]
    assert verdict.gain is not None
    assert verdict.gain.effect


@pytest.mark.parametrize(
    ("outputs", "target", "message"),
    [
        (
            torch.zeros(4, 3),
            torch.zeros(4, 2, dtype=torch.int64),
            "it has 2 classes, but the student outputs 3; give it classes: 2",
        ),
        (torch.zeros(4, 2, 2), torch.zeros(4, 2, dtype=torch.int64), r"multi-label classification needs \[items, classes\]"),
        (
            torch.zeros(4, 2),
            torch.zeros(4, dtype=torch.int64),
            r"needs a 0 or 1 for each class of an item.*Items\.from_tensors\(inputs, labels, classes=",
        ),
    ],
)
def test_what_does_not_fit_is_refused(outputs: Any, target: Any, message: str) -> None:
    items = Items.from_tensors(torch.rand(4, 3), target, classes=2)
    with pytest.raises(ValueError, match=message):
        MultilabelClassification().check_outputs(outputs, items, "student", "data")


def test_mixing_items_is_refused() -> None:
    items = Items.from_tensors(torch.rand(4, 3, 8, 8), torch.zeros(4, 2, dtype=torch.int64), classes=2)
    with pytest.raises(ValueError, match="mix items of one class each"):
        MultilabelClassification().view(items, ["mixup"])
    assert len(MultilabelClassification().view(items, ["horizontal_flip"])) == 1


def test_predictions_are_checked_and_count_known_labels_only() -> None:
    logits = np.array([[[1.0, -1.0, 3.0], [-1.0, -2.0, -3.0]]])
    found = MultilabelPredictions(logits, np.array([[1, 1, -100], [0, 0, 0]]), ["a", "b", "c"])
    assert found.quality().tolist() == [[0.5, 1.0]]
    assert found.correct().tolist() == [[False, True]]
    assert found.per_class() == [1.0, 0.0, None]
    shown = found.shown()
    assert (shown.text(0, 0), shown.text(0, 1)) == ("a", "no label")
    assert shown.confidence is not None
    assert shown.confidence[0, 0] == pytest.approx(1 / (1 + np.exp(-1)))
    assert found.agreement(MultilabelPredictions(-logits, found.labels)) == 0
    with pytest.raises(ValueError, match="diverged"):
        MultilabelPredictions(logits * np.nan, found.labels)
    with pytest.raises(ValueError, match="are not"):
        MultilabelPredictions(logits[0], found.labels)
