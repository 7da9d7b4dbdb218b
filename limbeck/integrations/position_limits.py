"""Texts longer than a model has positions for are refused as they come, where the model would fail on an index out of range."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from limbeck.tasks.input_limits import position_limits


@dataclass(frozen=True)
class Positions:
    """How many tokens a model has positions for.

    Attributes:
        who: how messages call the model; kind: its class.
        limits: the most tokens of an input, by its name; none where positions are computed.
        remedy: what to do about longer texts, with `{limit}` for the number.
    """

    who: str
    kind: str
    limits: Mapping[str, int]
    remedy: str

    @classmethod
    def of(cls, model: nn.Module, who: str, remedy: str, *, writes: bool = False) -> Positions:
        """`writes`: what the model's decoder reads is not its encoder's, and each has a table of its own."""
        tables: dict[str, list[int]] = {}
        for path, limit in position_limits(model).items():
            of_decoder = writes and "decoder" in path.split(".")
            tables.setdefault("decoder_input_ids" if of_decoder else "input_ids", []).append(limit)
        # of several tables, as in a model of images and texts, no name says which one is meant: none has more than the largest
        return cls(who, type(model).__name__, {name: max(limits) for name, limits in tables.items()}, remedy)

    def refuse_longer(self, read: Mapping[str, Any]) -> None:
        """Refuse a batch of which the model cannot read all.

        Raises:
            ValueError: with the length and the limit.
        """
        if "position_ids" in read:  # texts laid end to end, each of which begins at the first position
            return
        for name, limit in self.limits.items():
            ids = read.get(name)
            if isinstance(ids, Tensor) and ids.ndim == 2 and ids.shape[1] > limit:
                raise ValueError(
                    f"{self.who}: a batch has {name} of {ids.shape[1]} tokens, and {self.kind} has positions for {limit}; "
                    + self.remedy.format(limit=limit)
                )
