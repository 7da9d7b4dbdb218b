"""Refuses texts with more tokens than a model has positions for, before the model fails on an index out of range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.tasks.input_limits import position_limits


@dataclass(frozen=True)
class PositionLimits:
    """The number of tokens that a model has positions for.

    Attributes:
        who: what messages call the model.
        kind: its class.
        limits: the most tokens of an input, by the input's name; empty if the model computes its positions.
        remedy: what to do about longer texts, with `{limit}` for the number.
    """

    who: str
    kind: str
    limits: Mapping[str, int]
    remedy: str

    @classmethod
    def of_model(cls, model: nn.Module, who: str, remedy: str, *, encoder_decoder: bool = False) -> PositionLimits:
        """Reads the limits of a model. Encoder and decoder of an encoder-decoder model have their own inputs and tables."""
        tables: dict[str, list[int]] = {}
        for path, limit in position_limits(model).items():
            of_decoder = encoder_decoder and "decoder" in path.split(".")
            tables.setdefault("decoder_input_ids" if of_decoder else "input_ids", []).append(limit)
        # of several tables, as in a model of images and texts, the name does not say which one applies: take the largest
        return cls(who, type(model).__name__, {name: max(limits) for name, limits in tables.items()}, remedy)

    def refuse_longer(self, inputs: Mapping[str, Any]) -> None:
        """Refuse inputs that are longer than the limits.

        Raises:
            ValueError: with the length and the limit.
        """
        if "position_ids" in inputs:  # packed texts, each of which begins at the first position
            return
        for name, limit in self.limits.items():
            ids = inputs.get(name)
            if isinstance(ids, Tensor) and ids.ndim == 2 and ids.shape[1] > limit:
                raise ValueError(
                    f"{self.who}: a batch has {name} of {ids.shape[1]} tokens, and {self.kind} has positions for {limit}; "
                    + self.remedy.format(limit=limit)
                )
