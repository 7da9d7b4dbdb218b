"""The linear probe, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import nn

from limbeck.tasks.sentence_embeddings.linear_probe import assign_folds, fit_logistic_regression, probe_logits

from .clusters import drawn

few = settings(deadline=None, max_examples=25)


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
