"""Balances of the terms of one update: factors of their weights that follow the training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.utils import distributed
from limbeck.utils.registry import Registry

registry = Registry("balance")


class Balance(nn.Module, ABC):
    """Factors of the terms' weights: the loss becomes Σ_k factor_k · weight_k · value_k + penalty.

    Parameters are trained by the update, buffers are part of the checkpoint. A stage starts with a balance of its own.
    """

    @abstractmethod
    def build(self, terms: int) -> None:
        """Creates what depends on the number of terms, before the optimizer is made."""

    def measure(self, values: Sequence[Tensor], active: Sequence[int], parameters: Sequence[nn.Parameter]) -> None:
        """Reads the terms of a training step, before its factors are asked for; of an accumulated batch the first piece.

        Args:
            values: weight_k · value_k of each active term.
            active: the numbers of these terms; others have weight 0 at this point of the stage.
            parameters: what the update trains.
        """

    @abstractmethod
    def forward(self, active: Sequence[int], shares: Tensor) -> tuple[Tensor, Tensor]:
        """The factors of the active terms, and a penalty that is added to the loss.

        Args:
            active: the numbers of these terms.
            shares: of the items of the global batch that this piece of it holds, for each active term.
        """


@registry.register(
    "uncertainty",
    cite="""
        @inproceedings{kendall2018multi,
            title = {Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics},
            author = {Kendall, Alex and Gal, Yarin and Cipolla, Roberto},
            booktitle = {Conference on Computer Vision and Pattern Recognition},
            year = {2018},
            eprint = {1705.07115},
            archiveprefix = {arXiv},
        }
    """,
)
class Uncertainty(Balance):
    """Σ_k exp(−s_k)·L_k + s_k/2 with trained s_k = log σ_k² (Kendall et al. 2018, arXiv 1705.07115). s starts at 0.

    At the optimum exp(−s_k) = 1/(2 L_k): every term gives the same share of the loss, so terms that stay large count less.
    The loss may become negative.
    """

    def build(self, terms: int) -> None:
        self.log_variances = nn.Parameter(torch.zeros(terms))

    def forward(self, active: Sequence[int], shares: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self.log_variances[list(active)]
        return torch.exp(-chosen), (shares.to(chosen) * chosen).sum() / 2


@registry.register(
    "gradient_norm",
    cite="""
        @inproceedings{chen2018gradnorm,
            title = {{GradNorm}: Gradient Normalization for Adaptive Loss Balancing in Deep Multitask Networks},
            author = {Chen, Zhao and Badrinarayanan, Vijay and Lee, Chen-Yu and Rabinovich, Andrew},
            booktitle = {International Conference on Machine Learning},
            year = {2018},
            eprint = {1711.02257},
            archiveprefix = {arXiv},
        }
    """,
)
class GradientNorm(Balance):
    """Factors that bring the gradients of all terms to one norm, after GradNorm (Chen et al. 2018, arXiv 1711.02257).

    GradNorm's target for the norm of term k is G_k = Ḡ · r_k^α, r_k = (L_k / L_k(0)) / mean of these ratios: terms that have
    fallen less pull harder. It walks there by gradient descent on |w_k·g_k − G_k|; here every `every` steps the factors move to
    the solution w_k ∝ r_k^α / g_k, normalised to mean 1, as a running mean. g_k is the norm over all parameters that the
    update trains, which costs one more backward pass for each term in these steps. Of an accumulated batch the first piece
    is measured.

    Args:
        alpha: α; 0: equal norms. 1.5 in the paper for tasks that differ, 0.12 for similar ones.
        every: steps between measurements.
        momentum: of the running mean of the factors, at least 0 and below 1.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(self, *, alpha: float = 0.12, every: int = 10, momentum: float = 0.9) -> None:
        super().__init__()
        if not (alpha >= 0 and every >= 1 and 0 <= momentum < 1):
            raise ValueError(
                f"gradient_norm: alpha is {alpha}, every {every} and momentum {momentum}; expected alpha of at least 0, every "
                "of at least 1, momentum of at least 0 and below 1"
            )
        self.alpha, self.every, self.momentum = alpha, every, momentum

    def build(self, terms: int) -> None:
        self.register_buffer("factors", torch.ones(terms))
        self.register_buffer("first", torch.full((terms,), -1.0))  # L_k(0)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.factors: Tensor
        self.first: Tensor
        self.calls: Tensor

    def measure(self, values: Sequence[Tensor], active: Sequence[int], parameters: Sequence[nn.Parameter]) -> None:
        if int(self.calls) % self.every == 0 and len(active) > 1:
            self._move(values, list(active), parameters)
        self.calls += 1

    def forward(self, active: Sequence[int], shares: Tensor) -> tuple[Tensor, Tensor]:
        return self.factors[list(active)], self.factors.new_zeros(())

    def _move(self, values: Sequence[Tensor], rows: list[int], parameters: Sequence[nn.Parameter]) -> None:
        norms = torch.stack([_gradient_norm(value, parameters) for value in values]).to(self.factors)
        losses = distributed.all_reduce_sum(torch.stack([value.detach() for value in values])).to(self.factors)
        first = torch.where(self.first[rows] < 0, losses, self.first[rows])
        self.first[rows] = first
        ratio = losses / first.clamp_min(1e-12)
        wanted = (ratio / ratio.mean().clamp_min(1e-12)) ** self.alpha / norms.clamp_min(1e-12)
        usable = (norms > 0) & torch.isfinite(wanted)  # a term without gradient keeps its factor
        if bool(usable.any()):
            wanted = torch.where(usable, wanted * usable.sum() / wanted[usable].sum(), self.factors[rows])
            self.factors[rows] = self.momentum * self.factors[rows] + (1 - self.momentum) * wanted


def _gradient_norm(value: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """The norm of a term's gradient over all processes."""
    if not value.requires_grad or not parameters:
        return value.new_zeros(())
    found = torch.autograd.grad(value, list(parameters), retain_graph=True, allow_unused=True)
    flat = [gradient.flatten() for gradient in found if gradient is not None]
    return distributed.all_reduce_sum(torch.cat(flat)).norm() if flat else value.new_zeros(())


def balance(value: str | Mapping[str, Any] | Balance) -> Balance:
    """Converts a name, or the recipe form `{name: {arguments}}`, to a balance.

    Raises:
        ValueError: an unknown name (the nearest are offered), or arguments that it does not have.
    """
    built: Balance = registry.part(value, Balance, "{gradient_norm: {alpha: 0.5}}")
    return built
