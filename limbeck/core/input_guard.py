"""Keeps a model that changes its inputs in place from changing what other models see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from limbeck.core.batch import copy_tensors, tensors_in

Output = TypeVar("Output")


class InputGuard:
    """Runs models on inputs that they share.

    A network that normalises in place (`x.sub_(mean)`) changes the batch for all that run after it. The first run of each model
    in each mode is on a copy, whose version counters tell whether the model changed it; a model that does so gets copies from
    then on, all others the inputs themselves.
    """

    def __init__(self) -> None:
        self.changing: set[str] = set()
        self._tried: set[tuple[str, bool]] = set()

    def run(self, name: str, training: bool, inputs: Any, model: Callable[[Any], Output]) -> Output:
        """Returns `model(inputs)`; the inputs are as before afterwards.

        Args:
            name: of the model.
            training: its mode.

        Raises:
            ValueError: the inputs were changed nevertheless, by a model that did not do so at first or that was not called with
                the copy.
        """
        copied = name in self.changing or (name, training) not in self._tried
        given = copy_tensors(inputs) if copied else inputs
        before = _versions(inputs)
        of_copy = _versions(given) if copied else None
        output = model(given)
        if _versions(inputs) != before:
            raise ValueError(
                f"actor {name!r} changes its inputs in place, and other models read them too; write x = x - mean in its "
                "forward, not x.sub_(mean) or x -= mean"
            )
        if of_copy is not None:
            if name not in self.changing and (_versions(given) != of_copy or _differ(given, inputs)):
                self.changing.add(name)
            self._tried.add((name, training))
        return output


def _differ(given: Any, inputs: Any) -> bool:
    """Whether values were changed; `x.data.sub_(mean)` and NumPy's view of a tensor count no version."""
    pairs = zip(tensors_in(given), tensors_in(inputs), strict=True)
    return not all(torch.equal(one, other) for one, other in pairs)


def _versions(inputs: Any) -> list[int]:
    """The version counters of all tensors, which every change in place counts up; inference tensors have none."""
    if isinstance(inputs, Tensor):
        return [] if inputs.is_inference() else [inputs._version]
    return [tensor._version for tensor in tensors_in(inputs) if not tensor.is_inference()]
