"""Optimizers that pull weights back to where they were when the optimizer was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from limbeck.engine.optimizers import registry

PREFIX = "proximal_"


def _proximal(kind: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    class Proximal(kind):  # type: ignore[misc, valid-type]
        """An optimizer of loss + μ/2 ‖w − w₀‖², w₀ the weights as they are now: μ (w − w₀) is added to each gradient.

        Args:
            mu: the weight of the distance; other arguments are those of the optimizer.
        """

        def __init__(self, params: Iterable[Any], *arguments: Any, mu: float = 0.01, **options: Any) -> None:
            super().__init__(params, *arguments, **options)
            self.mu = mu
            self.origins = [p.detach().clone() for group in self.param_groups for p in group["params"]]

        @torch.no_grad()
        def step(self, closure: Callable[[], float] | None = None) -> float | Tensor | None:
            parameters = (p for group in self.param_groups for p in group["params"])
            for parameter, origin in zip(parameters, self.origins, strict=True):
                if parameter.grad is not None:
                    parameter.grad.add_(parameter - origin, alpha=self.mu)
            return super().step(closure)  # type: ignore[no-any-return]

    Proximal.__name__ = Proximal.__qualname__ = f"Proximal{kind.__name__}"
    return Proximal


for _kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
    registry.register(f"{PREFIX}{_kind.__name__.lower()}")(_proximal(_kind))
