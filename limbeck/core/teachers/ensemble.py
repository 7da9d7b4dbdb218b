"""Ensembles of teachers."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.signals import AnySignal, LinearLogits, shape_of
from limbeck.core.teachers.base import Teacher, named_signals, registry
from limbeck.core.teachers.class_sets import ClassNames, ClassSets
from limbeck.core.teachers.failing import LEAST_WEIGHT, can_be_read, owned_weights, warn_of_failing, without_failing
from limbeck.core.weighers import Weigher, weigher
from limbeck.utils.finite import require_finite

LEAST = 1e-6  # share of a teacher in classes that it alone knows: its logits count there, however little it is trusted


@registry.register("ensemble")
class Ensemble(Teacher):
    """The weighted mean of several teachers' logits or probabilities; Σ_k w_k = 1 for each item.

    combine = "logits": z = Σ_k w_k z_k (FedDF, 2006.07242). combine = "probabilities": log Σ_k w_k softmax(z_k), as logits.
    For the mean of the *losses* use a term whose teacher is a pattern such as `peers.*`.

    With `classes` the teachers may tell different classes apart. "logits": z_c is the weighted mean of the centred logits of
    those that know class c; for sets without a common class, the logits side by side. "probabilities": a teacher gives
    probability 0 to classes that it does not know.

    A teacher whose outputs are not finite has weight 0 on such items, and a warning names it once; by a weigher that gives each
    item the only teachers that know it (`domain`), such items are refused. An item to which `by` gives
    no teacher any weight has equal weights, with a warning too.

    Args:
        of: the teachers, e.g. `["first", "second"]` or `"clients.*"`.
        by: a weigher, its name (`confidence`), or its recipe form: weighs the teachers for each item, normalised to sum 1.
        own: whether a pattern also matches the actor on the student's side of the term.
        classes: class names of each teacher, by its name or in the order of the teachers; see `ClassSets`.
        combine: what is averaged.
        weights: one for each teacher, normalised to sum 1; by default equal.

    Raises:
        ValueError: outputs of different shapes without `classes`, weights that are negative, both `by` and `weights`.
    """

    def __init__(
        self,
        of: str | Sequence[str],
        *,
        by: str | Mapping[str, Any] | Weigher | None = None,
        own: bool = False,
        classes: Mapping[str, ClassNames] | Sequence[ClassNames] | None = None,
        combine: Literal["logits", "probabilities"] = "logits",
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if combine not in ("logits", "probabilities"):
            raise ValueError(f"Ensemble: combine is {combine!r}; expected 'logits' or 'probabilities'")
        require_finite("Ensemble", {"weights": weights})
        if by is not None and weights is not None:
            raise ValueError(f"Ensemble: weights are {weights} and by is {by!r}; give one of the two")
        self._given_by = by
        self.by = None if by is None else weigher(by)
        if self.by is not None and any("*" in reference for reference in self.by.references):
            raise ValueError(f"Ensemble: by reads {', '.join(self.by.references)}; name single signals, such as peers.a")
        self.references = named_signals("Ensemble", of) + tuple(self.by.references if self.by else ())
        self.combine, self.own = combine, own
        self.weights = None if weights is None else tuple(weights)
        if self.weights is not None and (min(self.weights, default=0) < 0 or sum(self.weights) <= 0):
            raise ValueError(f"Ensemble: weights are {self.weights}; expected numbers of 0 or more, not all 0")
        self.classes = None if classes is None else ClassSets(classes)
        weighs_classes = self.by is not None and self.by.reads_classes
        self.reads_classes = weighs_classes or combine == "probabilities" or classes is not None
        self.members: list[str] | None = None
        self.samples: int | None = None
        self._warned: set[str] = set()  # of what, so that each warning comes once

    def describe(self) -> dict[str, Any] | None:
        """The arguments that build it again, in their recipe form; None for a weigher that is an object or has weights."""
        if self.by is not None and (isinstance(self._given_by, Weigher) or self.by.state_dict()):
            return None
        count = len(self.references) - self._read
        classes = None if self.classes is None else (self.classes.by_name or self.classes.sets)
        given = {"of": list(self.references[:count]), "by": self._given_by, "own": self.own, "classes": classes}
        return given | {"combine": self.combine, "weights": None if self.weights is None else list(self.weights)}

    def bind(self, signals: Sequence[str]) -> None:
        self.members = list(signals[: len(signals) - self._read])
        if self.classes is not None:
            self.classes.bind(self.members)

    def build(self, student: tuple[int, ...], *, samples: int | None) -> None:
        self.samples = samples
        if self.classes is not None and student[-1] != len(self.classes.merged):
            raise ValueError(
                f"Ensemble: the student outputs {student[-1]} classes and the teachers' sets together hold "
                f"{len(self.classes.merged)} ({', '.join(map(str, self.classes.merged))}); give the student as many, or name "
                "its classes by the key student"
            )

    def make_target(self, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        members = signals[: len(signals) - self._read]
        outputs = dense_outputs(members, same=self.classes is None, name="Ensemble")
        outputs, finite = without_failing(outputs, outputs[0].ndim - 1)
        if not self._exclusive:
            warn_of_failing(finite, self._names(len(outputs)), self._warned)
        if self.classes is None:
            stacked, known = torch.stack(outputs), None
        else:
            stacked, known = self.classes.merge(outputs)
        shares = self._shares(stacked, finite, [*stacked, *signals[len(members) :]], batch, student)
        if self.combine == "probabilities":
            return torch.logsumexp(torch.log_softmax(stacked, -1) + _log(shares), dim=0)
        if known is None:
            return (shares * stacked).sum(0)
        shares = shares.clamp_min(LEAST) * known.view(len(known), *[1] * (stacked.ndim - 2), known.shape[-1])
        return (shares * stacked).sum(0) / shares.sum(0)

    @property
    def _read(self) -> int:
        """How many signals the weigher reads beside those of the members."""
        return len(self.by.references) if self.by is not None else 0

    @property
    def _exclusive(self) -> bool:
        """Whether no other teacher takes the place of one that fails."""
        return self.by is not None and self.by.exclusive

    def _names(self, count: int) -> list[str]:
        return self.members or [str(number) for number in range(count)]

    def _shares(
        self, stacked: Tensor, finite: Tensor, signals: Sequence[AnySignal], batch: Batch, student: AnySignal
    ) -> Tensor:
        """The weights of the teachers on each item, `[K, ..., 1]`: of `weights` or `by`, of the finite ones, of sum 1."""
        count = len(stacked)
        given = self._given(stacked, signals, batch, student)
        given = given.view(*given.shape, *[1] * (finite.ndim - given.ndim))
        if self.by is not None:
            self._warn_of_no_weight(given)
        given = torch.where(given.sum(0, keepdim=True) > 0, given, 1 / count)
        if self._exclusive:
            given = owned_weights(given, finite, self._names(count))
        else:
            given = given * finite
            # no weight is left where those with weight fail: the finite ones share equally, and all of them if there are none
            left = torch.where(finite.any(0, keepdim=True), finite.to(given.dtype), 1.0)
            given = torch.where(given.sum(0, keepdim=True) > LEAST_WEIGHT, given, left)
        shares = given / given.sum(0, keepdim=True)
        if self.by is not None or not can_be_read(finite) or not bool(finite.all()):
            self.given_weights = dict(zip(self._names(count), shares.detach(), strict=True))
        return shares.to(stacked.dtype)[..., None]

    def _given(self, stacked: Tensor, signals: Sequence[AnySignal], batch: Batch, student: AnySignal) -> Tensor:
        """The weights before failing teachers are left out, `[K]`, `[K, B]` or `[K, B, T]`."""
        count = len(stacked)
        if self.by is None:
            if self.weights is not None and len(self.weights) != count:
                raise ValueError(f"Ensemble: {len(self.weights)} weights for {count} teachers")
            return stacked.new_tensor(self.weights or (1.0,) * count)
        self.by.prepare(signals, student, stacked.device, self.samples)
        given: Tensor = self.by(signals, batch, student, self.progress)
        if given.ndim < stacked.ndim - 1 and count == 1:
            given = given[None]
        if given.shape != stacked.shape[: given.ndim] or given.ndim < 2:
            raise ValueError(
                f"Ensemble: by gives weights of shape {tuple(given.shape)}; expected one for each teacher and item, "
                f"{tuple(stacked.shape[:2])}"
            )
        return given

    def _warn_of_no_weight(self, given: Tensor) -> None:
        """Warns once if no teacher has any weight on an item; on an accelerator this would wait for the device."""
        if not can_be_read(given) or "" in self._warned:
            return
        empty = int((given.sum(0) <= 0).sum())
        if empty:
            self._warned.add("")
            warnings.warn(
                f"Ensemble: {type(self.by).__name__} gives every teacher weight 0 on {empty} of {given[0].numel()} items of a "
                "batch; they are weighed equally there",
                stacklevel=2,
            )


def _log(shares: Tensor) -> Tensor:
    """log of weights from 0 on, with a gradient of 0 at 0, where that of the logarithm is infinite and 0 times it NaN."""
    given = shares > 0
    return torch.where(given, torch.where(given, shares, 1.0).log(), -torch.inf)


def dense_outputs(signals: Sequence[AnySignal], *, same: bool, name: str) -> list[Tensor]:
    """The logits in working precision; raises a ValueError with all shapes if they cannot be averaged."""
    dense = [signal.dense() if isinstance(signal, LinearLogits) else signal for signal in signals]
    tensors = [signal for signal in dense if isinstance(signal, Tensor)]
    if len(tensors) < len(dense) or (same and any(signal.shape != tensors[0].shape for signal in tensors)):
        if len(tensors) == len(dense) and len({signal.shape[:-1] for signal in tensors}) == 1:
            counts = ", ".join(str(signal.shape[-1]) for signal in tensors)
            raise ValueError(
                f"{name}: its members output {counts} classes, in this order, and are combined class by class; give all the "
                "same classes, or merge teachers of different class sets by their names (method merged_classes)"
            )
        raise ValueError(f"{name}: needs dense logits of one shape; got {', '.join(str(shape_of(s)) for s in signals)}")
    return [signal.to(torch.promote_types(signal.dtype, torch.float32)) for signal in tensors]
