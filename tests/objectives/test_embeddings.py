"""Embeddings and the scores made of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import Criterion, Term, objectives
from limbeck.objectives import EmbeddingCosine, EmbeddingMSE, MarginMSE


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_embeddings_agree_with_torch():
    s, t = normal(4, 6), normal(4, 6, seed=1)
    torch.testing.assert_close(EmbeddingMSE()(s, t).mean(), F.mse_loss(s, t))
    torch.testing.assert_close(EmbeddingCosine()(s, t), 1 - F.cosine_similarity(s, t))


def test_the_cosine_ignores_lengths_and_bears_zeros():
    s, t = normal(4, 6), normal(4, 6, seed=1)
    torch.testing.assert_close(EmbeddingCosine()(7 * s, 0.1 * t), EmbeddingCosine()(s, t))
    zero = torch.zeros(2, 3, requires_grad=True)
    loss = EmbeddingCosine()(zero, torch.ones(2, 3))
    assert loss.tolist() == [1.0, 1.0]
    assert torch.autograd.grad(loss.sum(), zero)[0].abs().max() <= 1


def test_one_negative_gives_the_papers_form():
    s, t = normal(5, 2), normal(5, 2, seed=1)
    torch.testing.assert_close(MarginMSE()(s, t).mean(), F.mse_loss(s[:, 0] - s[:, 1], t[:, 0] - t[:, 1]))


def test_several_negatives_are_averaged():
    s, t = normal(5, 4), normal(5, 4, seed=1)
    pairs = [MarginMSE()(s[:, [0, j]], t[:, [0, j]]) for j in (1, 2, 3)]
    torch.testing.assert_close(MarginMSE()(s, t), torch.stack(pairs).mean(0))


def test_only_margins_count():
    s, t = normal(5, 4).float(), normal(5, 4, seed=1).float()
    far = t + 2**13  # a teacher whose scores have another offset; float32 keeps ten bits of what is below 1
    torch.testing.assert_close(MarginMSE()(s, far), MarginMSE()(s, far - 2**13), rtol=1e-6, atol=0)


def test_scores_without_a_negative_are_refused():
    with pytest.raises(ValueError, match=r"margin_mse: student \(5, 1\) and teacher \(5, 1\) have no negatives"):
        MarginMSE()(normal(5, 1), normal(5, 1))
    with pytest.raises(ValueError, match=r"margin_mse: student \(5, 3\) and teacher \(5, 2\) do not fit"):
        MarginMSE()(normal(5, 3), normal(5, 2))


@pytest.mark.parametrize("name", ["embedding_mse", "embedding_cosine"])
@pytest.mark.parametrize(("width", "learned"), [(4, [(6, 4), (6,)]), (6, [])])
def test_a_linear_adapter_makes_widths_equal(name, width, learned):
    student, teacher = nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2)), nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2))
    term = Term(objectives.get(name), student="0", teacher="0")
    batch = (torch.randn(5, 3), torch.zeros(5, dtype=torch.long))
    criterion = Criterion([term], student, teacher, example=batch)
    assert [tuple(parameter.shape) for parameter in criterion.parameters()] == learned
    assert criterion(batch)["loss"] > 0


@pytest.mark.parametrize(
    "name",
    ["rkd_distance", "rkd_angle", "rkd_cosine", "similarity_preserving", "probabilistic_transfer", "correlation_congruence"],
)
def test_relations_serve_embeddings_of_any_widths(name):
    student, teacher = normal(8, 384), normal(8, 768, seed=1)
    objective = objectives.get(name)
    assert objective(student, teacher).mean() > objective(teacher, teacher).mean() + 1e-9
