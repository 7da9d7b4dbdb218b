"""A multilayer perceptron for vectors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from limbeck.models.base import kaiming_normal, register_builder, require_positive


@register_builder("mlp")
def mlp(inputs: int, hidden: Sequence[int] = (64, 64), classes: int = 10, dropout: float = 0.0) -> MLP:
    """Linear layers with ReLU, [B, inputs] → logits [B, classes].

    Axes after the first are flattened, so that small images need no reshape. Inputs are not normalised.

    Args:
        inputs: size of an input vector.
        hidden: units of each hidden layer; empty for a linear model.
        dropout: rate after each hidden layer.

    Raises:
        ValueError: a number below one.
    """
    require_positive(inputs=inputs, classes=classes, **{f"hidden[{i}]": units for i, units in enumerate(hidden)})
    return MLP(inputs, hidden, classes, dropout)


class MLP(nn.Module):
    """See `mlp`. Taps: `layers.0`, `layers.1`, … (each [B, units], after its ReLU), `linear`."""

    def __init__(self, inputs: int, hidden: Sequence[int], classes: int, dropout: float) -> None:
        super().__init__()
        sizes = [inputs, *hidden]
        layers = [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.Dropout(dropout)) for a, b in pairwise(sizes)]
        self.layers = nn.Sequential(*layers)
        self.linear = nn.Linear(sizes[-1], classes)
        self.apply(kaiming_normal)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.layers(x.flatten(1)))
        return logits
