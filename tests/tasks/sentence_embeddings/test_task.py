"""The task of sentence embeddings: its metric by the labels there are, its figures, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.data import Items, tokenize
from limbeck.evaluation import Predictions
from limbeck.evaluation.statistics import interval
from limbeck.tasks import SentenceEmbeddings
from tests.data.tiny_tokenizers import of_words

from .clusters import drawn

WORDS = ["the", "cow", "dog", "now", "late"]


def data(labelled: bool = True, count: int = 60) -> Items:
    vectors, labels = drawn(11, count)
    return Items.from_tensors(vectors, labels if labelled else None)


def prepared(task: SentenceEmbeddings, items: Items, *, control: bool = False) -> SentenceEmbeddings:
    task.prepare(nn.Identity(), items, [items], control=control)
    return task


def test_the_metric_goes_by_the_labels() -> None:
    assert prepared(SentenceEmbeddings(), data()).metric.name == "probe_accuracy"
    assert prepared(SentenceEmbeddings(), data(labelled=False)).metric.name == "neighbour_overlap"
    task = SentenceEmbeddings("neighbour_overlap")
    assert prepared(task, data()).metric.name == "neighbour_overlap"
    some = data().without_labels(torch.arange(20))
    assert len(prepared(SentenceEmbeddings("knn_accuracy"), some).evaluation_items(some)) == 40
    assert len(task.evaluation_items(some)) == 60
    assert len(task.training_items(some)) == 40
    task = SentenceEmbeddings("probe_accuracy")  # only what is judged on must have labels
    task.prepare(None, data(labelled=False), [data()], control=False)


def test_what_cannot_be_judged_or_learned_is_refused() -> None:
    with pytest.raises(ValueError, match=r"control: a control learns from labels, .* set control: false"):
        prepared(SentenceEmbeddings(), data(labelled=False), control=True)
    for metric in ("probe_accuracy", "knn_accuracy"):
        with pytest.raises(ValueError, match=rf"metric: {metric} needs labels .* set metric: neighbour_overlap"):
            prepared(SentenceEmbeddings(metric), data(labelled=False))
    with pytest.raises(ValueError, match="compares with the teacher, which is not available"):
        SentenceEmbeddings("neighbour_overlap").compute_metrics(torch.rand(60, 3), data())
    with pytest.raises(ValueError, match="two or more"):
        prepared(SentenceEmbeddings(), data(labelled=False, count=1))
    with pytest.raises(ValueError, match=r"of shape \(8, 1, 6\); sentence embeddings need one vector per text"):
        SentenceEmbeddings().check(nn.Unflatten(1, (1, 6)), data(), "student", "test data")
    with pytest.raises(ValueError, match="the number of classes is unknown"):
        SentenceEmbeddings().hard_terms()


@pytest.mark.parametrize("metric", SentenceEmbeddings.metrics)
def test_figures_and_answers_agree_and_have_intervals(metric: str) -> None:
    items, task = data(), SentenceEmbeddings(metric)
    prepared(task, items)
    student = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
    outputs = task.outputs(student, items)
    answers = Predictions(**task.to_predictions([outputs, outputs], items))
    value, (low, high) = interval(answers.item_statistics(task.metric))
    assert task.compute_metrics(outputs, items) == {metric: pytest.approx(value)}
    assert low < value < high
    assert 0.3 < value < 1
    whole = task.outputs(nn.Identity(), items)
    if metric == "neighbour_overlap":
        assert task.compute_metrics(whole, items) == {metric: 1.0}
    else:
        assert answers.logits is not None
        assert answers.logits.shape == (2, 60, 3)
        assert task.compute_metrics(whole, items)[metric] > 0.6


def test_the_teacher_is_asked_once_about_the_same_texts() -> None:
    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x

    teacher, items, task = Counting(), data(labelled=False), SentenceEmbeddings()
    task.prepare(teacher, items, [items], control=False)
    for _ in range(3):
        task.compute_metrics(torch.rand(60, 4), items)
    task.to_predictions([task.outputs(teacher, items)], items)
    assert teacher.calls == 1
    task.prepare(teacher, items, [items], control=False)  # it may have been trained since
    task.compute_metrics(torch.rand(60, 4), items)
    assert teacher.calls == 2


def test_neighbours_are_told_as_texts() -> None:
    texts = ["the cow", "the dog", "late", "late now"]
    items = tokenize(Items.from_tensors(texts), of_words(WORDS), 8)
    task = SentenceEmbeddings("neighbour_overlap")
    task.of_teacher.use(nn.Identity())
    task.of_teacher._embeddings[items.fingerprint()] = torch.tensor([[1.0, 0.1], [1, 0], [0, 1], [0.1, 1]])
    found = task.to_predictions([torch.tensor([[1.0, 0.1], [0, 1], [1, 0], [0.1, 1]])], items)
    assert [found["text_predictions"].text(0, row) for row in range(4)] == ["late", "late now", "the cow", "the dog"]
    assert found["text_predictions"].choice.tolist() == [[2, 3, 0, 1]]
    assert found["text_predictions"].confidence is None
    bare = Items(items.storage, items.keys).map_inputs(lambda inputs: inputs["input_ids"].float()[:, :2])
    task.of_teacher._embeddings[bare.fingerprint()] = torch.rand(4, 2)
    assert task.to_predictions([torch.rand(4, 2)], bare)["text_predictions"] is None
