"""What embeddings are judged by, against loops and scikit-learn; and what the task refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from limbeck.core.criterion import Criterion
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.evaluation import Predictions
from limbeck.evaluation.statistics import interval
from limbeck.tasks import SentenceEmbeddings
from limbeck.tasks.linear_probe import assign_folds, fit_logistic_regression, probe_logits
from limbeck.tasks.linear_targets import LinearTargets
from limbeck.tasks.neighbours import nearest, shared, votes

few = settings(deadline=None, max_examples=25)


def drawn(seed: int, count: int, width: int = 6, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Vectors that lie around a centre for each class, and their labels."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (count,), generator=generator)
    centres = torch.randn(classes, width, generator=generator)
    return centres[labels] + 0.8 * torch.randn(count, width, generator=generator), labels


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


def neighbours_by_loop(vectors: Tensor, k: int) -> list[list[int]]:
    rows = vectors.double().tolist()
    found = []
    for place, row in enumerate(rows):
        others = [other for other in range(len(rows)) if other != place]
        found.append(sorted(others, key=lambda other: -cosine(row, rows[other]))[:k])
    return found


@given(seed=st.integers(0, 1000), count=st.integers(2, 30), k=st.integers(1, 12))
@few
def test_neighbours_are_those_of_a_loop(seed: int, count: int, k: int) -> None:
    vectors, _ = drawn(seed, count)
    assert nearest(vectors, k).tolist() == neighbours_by_loop(vectors, k)


def test_neighbours_are_found_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, _ = drawn(0, 40)
    whole = nearest(vectors)
    monkeypatch.setattr("limbeck.tasks.neighbours.ELEMENTS", 120)
    assert torch.equal(nearest(vectors), whole)
    assert nearest(torch.zeros(4, 3)).shape == (4, 3)  # no direction at all, and no complaint


@given(seed=st.integers(0, 1000), count=st.integers(3, 25))
@few
def test_overlap_is_that_of_sets(seed: int, count: int) -> None:
    (ours, _), (theirs, _) = drawn(seed, count), drawn(seed + 1, count, width=4)
    a, b = nearest(ours), nearest(theirs)
    slow = [len(set(x) & set(y)) / len(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]
    assert shared(a, b).tolist() == pytest.approx(slow)
    rotation, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)))
    assert shared(nearest(3 * ours @ rotation), a).mean() > 0.99  # directions alone count, up to rounding
    assert (shared(a, a) == 1).all()


@given(seed=st.integers(0, 1000), count=st.integers(3, 25), classes=st.integers(2, 4))
@few
def test_the_majority_wins_and_ties_go_to_the_nearer(seed: int, count: int, classes: int) -> None:
    vectors, labels = drawn(seed, count, classes=classes)
    counts = votes(nearest(vectors), labels, classes)
    for row, near in enumerate(neighbours_by_loop(vectors, 10)):
        voted = [labels[other].item() for other in near]
        most = max(voted.count(one) for one in voted)
        tied = {one for one in voted if voted.count(one) == most}
        assert counts[row].floor().tolist() == [voted.count(one) for one in range(classes)]
        assert int(counts[row].argmax()) in tied
    nearer_first = votes(torch.tensor([[1, 2, 3, 4]]), torch.tensor([0, 1, 1, 0, 0]), 2)
    assert int(nearer_first.argmax()) == 1


@pytest.mark.parametrize("classes", [2, 4])
def test_the_probe_is_scikit_learns_logistic_regression(classes: int) -> None:
    vectors, labels = drawn(3, 200, width=10, classes=classes)
    unit = nn.functional.normalize(vectors.double(), dim=1)
    fold = assign_folds(labels, torch.arange(200), 5)
    logits = probe_logits(vectors, labels, torch.arange(200), classes)
    for held_out in range(5):
        seen = (fold != held_out).numpy()
        reference = LogisticRegression(C=1, tol=1e-8, max_iter=2000).fit(unit[seen], labels[seen])
        ours = logits[~seen].softmax(-1).numpy()
        if classes == 2:  # scikit-learn gives the difference of both a weight, and each of ours half of it
            assert ((ours[:, 1] > 0.5) == reference.predict(unit[~seen])).mean() > 0.97
        else:
            assert ours == pytest.approx(reference.predict_proba(unit[~seen]), abs=1e-4)
    assert torch.equal(probe_logits(vectors, labels, torch.arange(200), classes), logits)  # nothing is drawn
    assert torch.allclose(probe_logits(vectors * 1000, labels, torch.arange(200), classes), logits, atol=1e-4)


def test_the_fit_is_a_minimum() -> None:
    vectors, labels = drawn(5, 60)
    vectors = vectors.double()
    weight, bias = fit_logistic_regression(vectors, labels, 3, penalty=0.3)
    probabilities = (vectors @ weight.T + bias).softmax(-1)
    wrong = probabilities - nn.functional.one_hot(labels, 3)
    assert wrong.T @ vectors + 0.3 * weight == pytest.approx(np.zeros((3, 6)), abs=1e-4)
    assert wrong.sum(0).tolist() == pytest.approx([0, 0, 0], abs=1e-4)


@given(seed=st.integers(0, 1000), count=st.integers(10, 60))
@few
def test_folds_are_even_in_every_class_and_go_by_content(seed: int, count: int) -> None:
    _, labels = drawn(seed, count)
    keys = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))[:count]
    fold = assign_folds(labels, keys, 5)
    for label in labels.unique():
        sizes = torch.bincount(fold[labels == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(assign_folds(labels[order], keys[order], 5), fold[order])
    twins = assign_folds(torch.cat([labels, labels]), torch.cat([keys, keys]), 5)
    assert torch.equal(twins[:count], twins[count:])  # a text that is there twice is never seen and unseen


def test_a_control_learns_through_a_layer_of_its_own() -> None:
    vectors, labels = drawn(7, 12)
    labels[5] = -100
    objective = LinearTargets(classes=3)
    assert not objective.built
    loss = objective(vectors, target=labels)
    assert objective.linear is not None
    expected = nn.functional.cross_entropy(objective.linear(vectors), labels, reduction="none")
    torch.testing.assert_close(loss, expected)
    assert loss[5] == 0
    fresh = LinearTargets(classes=3)
    fresh.load_state_dict(objective.state_dict())
    torch.testing.assert_close(fresh(vectors, target=labels), loss)
    for wrong, message in ((torch.full_like(labels, 3), "label 3 is out of range for 3 classes"), (None, "needs labels")):
        with pytest.raises(ValueError, match=f"linear_targets: {message}"):
            objective(vectors, target=wrong)
    with pytest.raises(ValueError, match="classes is 1"):
        LinearTargets(classes=1)


def test_the_layer_is_built_in_the_dry_run_and_learns_beside_the_student() -> None:
    vectors, labels = drawn(8, 64)
    student = nn.Linear(6, 4)
    criterion = Criterion([Term(LinearTargets(classes=3))], student, example=(vectors, labels))
    assert [tuple(parameter.shape) for parameter in criterion.parameters()] == [(3, 4), (3,)]
    optimizer = torch.optim.Adam([*student.parameters(), *criterion.parameters()], lr=0.05)
    before = float(criterion((vectors, labels))["loss"].detach())
    for _ in range(60):
        loss = criterion((vectors, labels))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < before / 2


# The task


def data(labelled: bool = True, count: int = 60) -> Items:
    vectors, labels = drawn(11, count)
    return Items.from_tensors(vectors, labels if labelled else None)


def prepared(task: SentenceEmbeddings, items: Items, *, control: bool = False) -> SentenceEmbeddings:
    task.prepare(nn.Identity(), items, [items], control=control)
    return task


def test_the_metric_goes_by_the_labels() -> None:
    assert prepared(SentenceEmbeddings(), data()).metric == "probe_accuracy"
    assert prepared(SentenceEmbeddings(), data(labelled=False)).metric == "neighbour_overlap"
    task = SentenceEmbeddings("neighbour_overlap")
    assert prepared(task, data()).metric == "neighbour_overlap"
    some = data().without_labels(torch.arange(20))
    assert len(prepared(SentenceEmbeddings("knn_accuracy"), some).evaluation_items(some)) == 40
    assert len(task.evaluation_items(some)) == 60
    assert len(task.training_items(some)) == 40
    task = SentenceEmbeddings("probe_accuracy")  # only what is judged on must have labels
    task.prepare(None, data(labelled=False), [data()], control=False)


def test_what_cannot_be_judged_or_learned_is_refused() -> None:
    with pytest.raises(ValueError, match=r"control: without labels .* set control: false"):
        prepared(SentenceEmbeddings(), data(labelled=False), control=True)
    for metric in ("probe_accuracy", "knn_accuracy"):
        with pytest.raises(ValueError, match=rf"metric: {metric} needs labels .* set metric: neighbour_overlap"):
            prepared(SentenceEmbeddings(metric), data(labelled=False))
    with pytest.raises(ValueError, match="compares with the teacher, which is not at hand"):
        SentenceEmbeddings("neighbour_overlap").compute_metrics(torch.rand(60, 3), data())
    with pytest.raises(ValueError, match="two or more"):
        prepared(SentenceEmbeddings(), data(labelled=False, count=1))
    with pytest.raises(ValueError, match=r"of shape \(8, 1, 6\); sentence embeddings need one vector a text"):
        SentenceEmbeddings().check(nn.Unflatten(1, (1, 6)), data(), "student", "test data")
    with pytest.raises(ValueError, match="how many classes there are is unknown"):
        SentenceEmbeddings().hard_terms()


@pytest.mark.parametrize("metric", SentenceEmbeddings.metrics)
def test_figures_and_answers_agree_and_have_intervals(metric: str) -> None:
    items, task = data(), SentenceEmbeddings(metric)
    prepared(task, items)
    student = nn.Sequential(nn.Linear(6, 4), nn.Tanh())
    outputs = task.outputs(student, items)
    answers = Predictions(**task.to_predictions([outputs, outputs], items))
    value, (low, high) = interval(answers.parts(task.measure))
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
