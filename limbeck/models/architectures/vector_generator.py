"""A generator of vectors, such as the standardised rows of a table."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from limbeck.models.architectures.latent_table import LatentTable
from limbeck.models.base import register_builder, require_positive


@register_builder("vector_generator")
def vector_generator(
    size: int,
    latent: int = 32,
    hidden: int = 64,
    rows: int | None = None,
    low: float | None = None,
    high: float | None = None,
) -> VectorGenerator:
    """Noise [B, latent], or row numbers [B] of a table of latents → vectors [B, size].

    BatchNorm layers take the statistics of the batch, in evaluation too, so a batch has two items at least.

    Args:
        size: length of a vector.
        latent: length of the noise.
        hidden: units of both hidden layers.
        rows: latents are parameters, one for each of so many rows; None: noise.
        low, high: bounds of the numbers; None: they have none, and a last BatchNorm starts them at mean 0 and deviation 1.

    Raises:
        ValueError: a number below one; one bound without the other, or bounds in the wrong order.
    """
    require_positive(size=size, hidden=hidden)
    if (low is None) != (high is None) or (low is not None and high is not None and low >= high):
        raise ValueError(f"low is {low} and high is {high}; expected low < high, or none of them")
    return VectorGenerator(size, latent, hidden, rows, low, high)


class VectorGenerator(nn.Module):
    """See `vector_generator`.

    Attributes:
        rows: of the table of latents; None: it reads noise.
        of_rows: the parameters that are of single rows.
    """

    of_rows = ("latents.table.weight",)

    def __init__(self, size: int, latent: int, hidden: int, rows: int | None, low: float | None, high: float | None) -> None:
        super().__init__()
        self.rows, self.low, self.high = rows, low, high
        self.latents = LatentTable(rows, latent)
        sizes = [latent, hidden, hidden]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs, track_running_stats=False), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden, size), nn.BatchNorm1d(size, track_running_stats=False))

    def forward(self, given: Tensor) -> Tensor:
        vectors: Tensor = self.layers(self.latents(given))
        if self.low is None or self.high is None:
            return vectors
        return self.low + (self.high - self.low) * vectors.sigmoid()
