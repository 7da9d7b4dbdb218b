"""One teacher drawn for each batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal
from limbeck.core.teachers.base import Teacher, named_signals, registry
from limbeck.core.teachers.ensemble import dense_outputs
from limbeck.core.teachers.failing import can_be_read
from limbeck.core.value_checks import is_finite
from limbeck.utils.finite import require_finite

if TYPE_CHECKING:
    from limbeck.core.references import Reference


@registry.register(
    "drawn",
    cite="""
        @inproceedings{fukuda2017efficient,
            title = {Efficient Knowledge Distillation from an Ensemble of Teachers},
            author = {Fukuda, Takashi and Suzuki, Masayuki and Kurata, Gakuto and Thomas, Samuel and Cui, Jia and Ramabhadran,
                Bhuvana},
            booktitle = {Proceedings of Interspeech},
            year = {2017},
        }
    """,
)
class Drawn(Teacher):
    """The logits of one of several teachers, drawn anew for every batch (Fukuda et al., Interspeech 2017). Only this one runs.

    Every process, and every piece of an accumulated batch, draws a teacher of its own, by torch's generator, which a run seeds
    in each step. Outside training it is the mean of the logits of all.

    Args:
        of: the teachers, e.g. `["first", "second"]` or `"teachers.*"`.
        weights: how often each is drawn, normalised to sum 1; by default equally often.

    Raises:
        ValueError: weights that are negative, all 0, or of another number than the teachers; outputs of different shapes, or
            that are not finite (on a CPU), since no other teacher runs that could stand in.
    """

    def __init__(self, of: str | Sequence[str], *, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        require_finite("drawn", {"weights": weights})
        if weights is not None and (min(weights, default=0) < 0 or sum(weights) <= 0):
            raise ValueError(f"drawn: weights are {list(weights)}; expected numbers of 0 or more, not all 0")
        self.references = named_signals("drawn", of)
        self.weights = None if weights is None else tuple(weights)
        self._chosen: Sequence[Reference] = ()

    def bind(self, signals: Sequence[str]) -> None:
        if self.weights is not None and len(self.weights) != len(signals):
            raise ValueError(f"drawn: {len(self.weights)} weights for {len(signals)} teachers ({', '.join(signals)})")

    def choose(self, references: Sequence[Reference]) -> Sequence[Reference]:
        self._chosen = references
        if self.training:
            weights = torch.tensor(self.weights or (1.0,) * len(references), dtype=torch.float32)
            self._chosen = (references[int(torch.multinomial(weights, 1))],)
        return self._chosen

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        outputs = dense_outputs(signals, same=True, name="drawn")
        for reference, output in zip(self._chosen, outputs, strict=False):
            if can_be_read(output) and not is_finite(output, None):
                raise ValueError(
                    f"teacher {str(reference)!r}: its outputs are NaN or infinite, and drawn asks no other teacher for this "
                    "batch; leave it out, or use averaged_teachers, which goes on with the others"
                )
        return torch.stack(outputs).mean(0)
