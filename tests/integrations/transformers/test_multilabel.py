"""Independent labels: a Trainer compares each label by itself, as `problem_type` says."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

pytest.importorskip("transformers")

from limbeck import Term, objectives
from limbeck.integrations.transformers.multilabel import PROBLEM, has_independent_labels
from tests.integrations.tiny import batch, bert, logged, texts, trainer

LABELS = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])


def several(count=32):
    return [item | {"labels": LABELS[number % 3]} for number, item in enumerate(texts(count, labels=False))]


def made(folder, terms, **options):
    models = {"model": bert(16, 1, seed=0, problem_type=PROBLEM), "teacher": bert(24, 2, seed=1, problem_type=PROBLEM)}
    return trainer(folder, models["model"], teacher=models["teacher"], data=several(), terms=terms, **options)


def soft(**options):
    return Term(objectives.get("soft_targets", temperature=2.0), weight=0.3, **options)


def test_soft_targets_are_compared_label_by_label(tmp_path):
    distilled = made(tmp_path, [soft()], labels=0.7)
    given = batch(several(6))
    student, teacher = copy.deepcopy(distilled.model), distilled.teacher
    with pytest.warns(UserWarning, match="so soft_targets is computed as binary_soft_targets"):
        loss = distilled.compute_loss(distilled.model.train(), given)
    read = {name: given[name] for name in ("input_ids", "attention_mask")}
    s, t = student(**read).logits, teacher(**read).logits.detach()
    p, q = (t / 2).sigmoid(), (s / 2).sigmoid()
    each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    expected = 0.7 * F.binary_cross_entropy_with_logits(s, given["labels"]) + 0.3 * 4 * each.sum(1).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_it_trains_and_logs(tmp_path):
    terms = [Term(objectives.get("binary_cross_entropy")), Term(objectives.get("binary_soft_targets"), weight=0.5)]
    distilled = made(tmp_path, terms, labels=0, max_steps=2, logging_steps=1)
    distilled.train()
    for line in logged(distilled):
        total = line["loss_binary_cross_entropy"] + 0.5 * line["loss_binary_soft_targets"]
        assert line["loss"] == pytest.approx(total, rel=1e-3)


def test_an_item_to_which_no_label_applies_counts(tmp_path):
    distilled = made(tmp_path, [Term(objectives.get("hard_targets"))], labels=0)
    given = batch(several(6))
    with pytest.warns(UserWarning, match="hard_targets is computed as binary_cross_entropy"):
        loss = distilled.compute_loss(distilled.model.train(), given)
    s = distilled.model(**{name: given[name] for name in ("input_ids", "attention_mask")}).logits
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(s, given["labels"], reduction="none").sum(1).mean())


@pytest.mark.parametrize("name", ["decoupled", "dist", "forward_kl"])
def test_other_softmaxes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"terms: {name} is a softmax over classes, and the student's labels are independent"):
        made(tmp_path, [Term(objectives.get(name))]).criterion  # noqa: B018


def test_labels_are_independent_by_the_configuration_or_by_their_kind():
    assert has_independent_labels(bert(problem_type=PROBLEM), None)
    assert has_independent_labels(bert(), LABELS)
    assert not has_independent_labels(bert(), LABELS.long())
    assert not has_independent_labels(bert(problem_type="single_label_classification"), LABELS)
