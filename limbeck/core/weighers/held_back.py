"""Items that are held back: models do not learn from them, so that what they predict there can be judged."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.labels import is_labelled, single_target
from limbeck.core.signals import AnySignal
from limbeck.core.weighers.base import Shape, Weigher, class_logits, registry
from limbeck.utils.distributed import all_gather_rows

GUO_2020 = """
    @inproceedings{guo2020online,
        title = {Online Knowledge Distillation via Collaborative Learning},
        author = {Guo, Qiushan and Wang, Xinjiang and Wu, Yichao and Yu, Zhipeng and Liang, Ding and Hu, Xiaolin and Luo, Ping},
        booktitle = {Conference on Computer Vision and Pattern Recognition},
        year = {2020},
    }
"""
SHARE = 0.1
PARTS = 1 << 16  # into which the keys of items fall


def is_held_back(keys: Tensor, share: float) -> Tensor:
    """Whether each item belongs to the held-back share; decided by its key, the same in every epoch, process and run."""
    mixed = (keys ^ (keys >> 31)) * 0x1B873593  # keys of neighbouring items may differ in low bits only
    return (mixed >> 13) % PARTS < round(share * PARTS)


class _HeldBackShare(Weigher):
    """Base class of weighers that tell held-back items from the others."""

    def __init__(self, share: float = SHARE) -> None:
        super().__init__()
        if not 0 < share < 1:
            raise ValueError(f"{type(self).__name__}: share is {share}; expected a number between 0 and 1")
        self.share = share

    def held_back(self, batch: Batch) -> Tensor:
        if batch.keys is None:
            raise ValueError(f"{type(self).__name__}: needs batches with the key of each item, as data sets give them")
        return is_held_back(batch.keys, self.share)


@registry.register("not_held_back")
class NotHeldBack(_HeldBackShare):
    """0 for the held-back share of the items and 1/(1 − share) for all others, so that the mean weight is 1.

    As `item_weight` of all terms that train a model it keeps a part of the training data as validation data.

    Args:
        share: of the items, between 0 and 1. The same items are held back wherever the share is the same.
    """

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        return (~self.held_back(batch)).float() / (1 - self.share)


@registry.register("least_error", cite=GUO_2020)
class LeastError(_HeldBackShare):
    """The weights of K teachers, `[K, batch]`, whose weighted mean has the least squared error on held-back items (KDCL).

    With the errors e_k = softmax(z_k) − onehot(y) and C_kj the mean of e_k·e_j over held-back items,
    w = argmin Σ_kj w_k w_j C_kj under Σ_k w_k = 1, which is C⁻¹1 / 1ᵀC⁻¹1. Negative weights are set to 0. C is a moving
    average over batches; until it has seen an item, all weights are 1/K.

    Args:
        share: of the items that are held back; `not_held_back` with the same share keeps the teachers from learning them.
        decay: of the moving average, per batch that has held-back items.

    Raises:
        ValueError: no labels, logits that are not [batch, classes], `share` or `decay` out of range.

    Source: Guo et al., CVPR 2020, KDCL-General, equations 8 to 10. There C is measured on a validation set after each epoch.
    """

    needs_labels = True
    reads_classes = True
    covariance: Tensor
    seen: Tensor

    def __init__(self, share: float = SHARE, decay: float = 0.99) -> None:
        super().__init__(share)
        if not 0 <= decay < 1:
            raise ValueError(f"LeastError: decay is {decay}; expected a number from 0 to below 1")
        self.decay = decay

    def build(self, signals: Sequence[Shape], student: Shape, *, samples: int | None) -> None:
        self.register_buffer("covariance", torch.zeros(len(signals), len(signals), dtype=torch.float64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

    def weigh(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal, progress: float) -> Tensor:
        logits = torch.stack([class_logits(signal) for signal in signals])
        if self.training and not torch.is_inference_mode_enabled():
            self._observe(logits, batch)
        return self.weights().to(logits.dtype)[:, None].expand(logits.shape[:2])

    def weights(self) -> Tensor:
        """The weights of the teachers now, `[K]`; their sum is 1."""
        count = len(self.covariance)
        mean = self.covariance.trace() / count
        ridge = torch.eye(count, dtype=self.covariance.dtype, device=self.covariance.device) * (1e-6 * mean + 1e-12)
        raw = torch.linalg.solve(self.covariance + ridge, torch.ones_like(self.covariance[0])).clamp(min=0)
        equal = torch.full_like(raw, 1 / count)
        return torch.where((self.seen > 0) & (raw.sum() > 0), raw / raw.sum().clamp(min=1e-300), equal)

    def _observe(self, logits: Tensor, batch: Batch) -> None:
        """Takes the held-back items of all processes into the moving average."""
        target = single_target(batch.target, "LeastError")
        kept = all_gather_rows(self.held_back(batch) & is_labelled(target))
        truth = target if target.is_floating_point() else _one_hot(target, logits.shape[-1])
        errors = all_gather_rows((logits.softmax(-1) - truth).transpose(0, 1)).double() * kept[:, None, None]
        count = kept.sum()
        share = torch.where(count > 0, 1 - self.decay, 0.0)
        self.covariance += share * (torch.einsum("bkc,bjc->kj", errors, errors) / count.clamp(min=1) - self.covariance)
        self.seen += count


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(labels.clamp(min=0), classes).float()
