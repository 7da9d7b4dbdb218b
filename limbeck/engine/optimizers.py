"""Optimizers by name, and the learning rate as a function of a stage's progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import nn

from limbeck.core.schedules import Constant, Schedule, schedule
from limbeck.engine.fused_kernels import can_fuse
from limbeck.utils.distributed import is_sharded
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

_BIBTEX = {
    "adam": """
        @inproceedings{kingma2015adam,
            title = {Adam: A Method for Stochastic Optimization},
            author = {Kingma, Diederik P. and Ba, Jimmy},
            booktitle = {International Conference on Learning Representations},
            year = {2015},
            eprint = {1412.6980},
            archiveprefix = {arXiv},
        }
    """,
    "adamw": """
        @inproceedings{loshchilov2019decoupled,
            title = {Decoupled Weight Decay Regularization},
            author = {Loshchilov, Ilya and Hutter, Frank},
            booktitle = {International Conference on Learning Representations},
            year = {2019},
            eprint = {1711.05101},
            archiveprefix = {arXiv},
        }
    """,
}

registry = Registry("optimizer")  # those of torch, by their names in lower case
for _name, _kind in vars(torch.optim).items():
    if isinstance(_kind, type):
        registry.register(_name.lower(), cite=_BIBTEX.get(_name.lower(), ""))(_kind)


@dataclass
class Optimizer:
    """An optimizer of `torch.optim` with a schedule of its learning rate.

    The learning rate at progress p of the stage is `lr · schedule(p)`; as a pure function it needs no state in checkpoints.

    Attributes:
        name: of the optimizer, in any case: `sgd`, `adamw`, `nadam`, …
        lr: peak learning rate.
        schedule: a schedule of the rate, e.g. `Warmup(0.05, then=Cosine())`, or its recipe form.
        options: further arguments of the optimizer (momentum, weight_decay, betas, …). On a CPU `fused` is true where torch has
            such a kernel.
        decay_vectors: whether weight decay also applies to biases and normalisation weights.

    Raises:
        ValueError: a rate below 0, numbers that are not finite; an unknown optimizer or schedule.
    """

    name: str = "sgd"
    lr: float = 0.1
    schedule: Schedule | float | str | Mapping[str, Any] = field(default_factory=Constant)
    options: dict[str, Any] = field(default_factory=dict)
    decay_vectors: bool = True

    def __post_init__(self) -> None:
        require_finite(f"optimizer {self.name!r}", {"lr": self.lr, "options": self.options})
        if self.lr < 0:
            raise ValueError(f"optimizer {self.name!r}: lr is {self.lr:g}; expected 0 or more")
        self.schedule = schedule(self.schedule)
        self.kind = cast(type[torch.optim.Optimizer], registry[self.name.lower()])

    def build(
        self, parameters: Sequence[nn.Parameter], lr_scale: Mapping[int, float] | None = None, *, sparse: bool = False
    ) -> torch.optim.Optimizer:
        """Builds the optimizer.

        Args:
            parameters: in this order.
            lr_scale: factor of the learning rate by a parameter's id, where it is not 1.
            sparse: whether gradients may be sparse, which a fused kernel refuses.

        Raises:
            ValueError: the optimizer does not take one of the options.
        """
        groups: list[dict[str, Any]] = []
        for factor in dict.fromkeys((lr_scale or {}).get(id(p), 1.0) for p in parameters):
            alike = [p for p in parameters if (lr_scale or {}).get(id(p), 1.0) == factor]
            matrices = [p for p in alike if self.decay_vectors or p.ndim > 1]
            vectors = [p for p in alike if not self.decay_vectors and p.ndim <= 1]
            groups += [{"params": part, "lr_scale": factor} for part in _by_sharding(matrices)]
            groups += [{"params": part, "lr_scale": factor, "weight_decay": 0.0} for part in _by_sharding(vectors)]
        options: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in self.options.items()}
        if not sparse and can_fuse(self.kind, options, parameters):
            options["fused"] = True
        try:
            return self.kind([g for g in groups if g["params"]] or [{"params": []}], lr=self.lr, **options)  # type: ignore[call-arg]
        except TypeError as error:
            raise ValueError(f"optimizer {self.name!r}: {error}") from error

    def set_rate(self, optimizer: torch.optim.Optimizer, progress: float) -> float:
        """Sets the learning rate for this progress of the stage, and returns it."""
        assert isinstance(self.schedule, Schedule)
        rate = self.lr * self.schedule(progress)
        for group in optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        return rate


def _by_sharding(parameters: Sequence[nn.Parameter]) -> list[list[nn.Parameter]]:
    """Sharded parameters, then whole ones: one kernel cannot update both."""
    return [[p for p in parameters if is_sharded(p) is sharded] for sharded in (True, False)]
