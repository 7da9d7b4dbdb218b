"""A linear probe of embeddings: cross-validated logistic regression."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS = 5
ITERATIONS = 300


def probe_logits(embeddings: Tensor, labels: Tensor, keys: Tensor, classes: int, folds: int = FOLDS) -> Tensor:
    """Logits of each item by logistic regression on the other folds: [items, D] → float32 [items, classes].

    Embeddings are normalised to length 1.

    Args:
        labels: int64 [items].
        keys: int64 [items]; they determine the folds, which are thus the same for every model.
        folds: at most the number of items.
    """
    vectors = F.normalize(embeddings.double(), dim=1)
    fold = assign_folds(labels, keys, min(folds, len(labels)))
    logits = vectors.new_zeros(len(vectors), classes)
    for held_out in range(int(fold.max()) + 1):
        seen, unseen = fold != held_out, fold == held_out
        weight, bias = fit_logistic_regression(vectors[seen], labels[seen], classes)
        logits[unseen] = vectors[unseen] @ weight.T + bias
    return logits.float()


def assign_folds(labels: Tensor, keys: Tensor, folds: int) -> Tensor:
    """The fold of each item, int64 [items]: every class is spread evenly in the order of its keys; equal keys share a fold."""
    fold = torch.empty_like(labels)
    assigned = 0
    for label in torch.unique(labels).tolist():
        rows = (labels == label).nonzero()[:, 0]
        _, index = torch.unique(keys[rows], return_inverse=True)
        fold[rows] = (index + assigned) % folds
        assigned += int(index.max()) + 1
    return fold


@torch.enable_grad()
def fit_logistic_regression(vectors: Tensor, labels: Tensor, classes: int, penalty: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logistic regression, min Σ_i CE(W x_i + b, y_i) + penalty/2 ‖W‖²: weight [classes, D] and bias [classes].

    By L-BFGS from zero, deterministic, in the precision of the vectors. With penalty 1 it equals scikit-learn's default.
    """
    weight = vectors.new_zeros(classes, vectors.shape[1], requires_grad=True)
    bias = vectors.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, tolerance_grad=1e-5, tolerance_change=1e-10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(vectors @ weight.T + bias, labels, reduction="sum") + penalty / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach(), bias.detach()
