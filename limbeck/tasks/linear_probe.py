"""A linear probe of embeddings: logistic regression, judged on items that it was not fitted on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FOLDS = 5
ITERATIONS = 300


def probe_logits(embeddings: Tensor, labels: Tensor, keys: Tensor, classes: int, folds: int = FOLDS) -> Tensor:
    """What logistic regression says of each item when fitted on all other folds: [items, D] → logits float32 [items, classes].

    Embeddings are brought to length 1, as those who compare by cosine see them, so that only directions count.

    Args:
        labels: int64 [items].
        keys: int64 [items], of which the folds are a function: the same for every model.
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
    """The fold of each item, int64 [items]: every class is dealt out evenly, in the order of its keys, equal items together."""
    fold = torch.empty_like(labels)
    dealt = 0
    for label in torch.unique(labels).tolist():
        rows = (labels == label).nonzero()[:, 0]
        _, place = torch.unique(keys[rows], return_inverse=True)
        fold[rows] = (place + dealt) % folds
        dealt += int(place.max()) + 1
    return fold


@torch.enable_grad()
def fit_logistic_regression(vectors: Tensor, labels: Tensor, classes: int, penalty: float = 1.0) -> tuple[Tensor, Tensor]:
    """Logistic regression, min Σ_i CE(W x_i + b, y_i) + penalty/2 ‖W‖²: weight [classes, D] and bias [classes].

    From zero by L-BFGS in the vectors' precision, without anything random. With penalty 1 it is what scikit-learn fits by
    default.
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
