"""A convolutional generator of images, as in DCGAN, for images of 8 × 8 to 64 × 64 pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from limbeck.models.architectures.latent_table import LatentTable
from limbeck.models.base import register_builder, require_positive


@register_builder(
    "dcgan",
    cite="""
        @inproceedings{radford2016unsupervised,
            title = {Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks},
            author = {Radford, Alec and Metz, Luke and Chintala, Soumith},
            booktitle = {International Conference on Learning Representations},
            year = {2016},
            eprint = {1511.06434},
            archiveprefix = {arXiv},
        }
    """,
)
def dcgan(
    shape: Sequence[int],
    latent: int = 64,
    width: int = 32,
    rows: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> DCGAN:
    """Noise [B, latent], or row numbers [B] of a table of latents → images [B, *shape] between `low` and `high`.

    A linear layer makes maps of a quarter of the size; two times, the maps are doubled by their nearest neighbour and pass a
    convolution with BatchNorm. (DCGAN's transposed convolutions leave a pattern of squares.) The last BatchNorm, before the
    sigmoid, keeps images from saturating. All of them take the statistics of the batch, in evaluation too: a student learns on
    the images that the generator was trained to make, however fast it changes.

    Args:
        shape: [channels, height, width] of an image; height and width are multiples of 4, from 8 to 64.
        latent: length of the noise.
        width: channels of the last maps but one; the first have twice as many.
        rows: latents are parameters, one for each of so many rows; None: noise.
        low, high: bounds of the pixels.

    Raises:
        ValueError: another shape, a number below one, or bounds in the wrong order.

    Source: Radford et al. 2015, arXiv 1511.06434.
    """
    require_positive(width=width)
    if len(shape) != 3 or shape[0] < 1 or any(length % 4 or not 8 <= length <= 64 for length in shape[1:]):
        raise ValueError(
            f"dcgan: shape is {list(shape)}; expected [channels, height, width] with height and width multiples of 4 from 8 to "
            "64 (vector_generator makes vectors)"
        )
    if low >= high:
        raise ValueError(f"low is {low} and high is {high}; expected low < high")
    return DCGAN(shape, latent, width, rows, low, high)


class DCGAN(nn.Module):
    """See `dcgan`.

    Attributes:
        rows: of the table of latents; None: it reads noise.
        of_rows: the parameters that are of single rows.
    """

    of_rows = ("latents.table.weight",)

    def __init__(self, shape: Sequence[int], latent: int, width: int, rows: int | None, low: float, high: float) -> None:
        super().__init__()
        self.rows, self.low, self.high = rows, low, high
        self.first = (2 * width, shape[1] // 4, shape[2] // 4)
        self.latents = LatentTable(rows, latent)
        self.linear = nn.Linear(latent, math.prod(self.first))
        self.layers = nn.Sequential(
            _norm(2 * width),
            nn.Upsample(scale_factor=2),
            *_convolution(2 * width, 2 * width),
            nn.Upsample(scale_factor=2),
            *_convolution(2 * width, width),
            nn.Conv2d(width, shape[0], 3, padding=1),
            _norm(shape[0]),
        )

    def forward(self, given: Tensor) -> Tensor:
        maps = self.linear(self.latents(given)).unflatten(1, self.first)
        images: Tensor = self.low + (self.high - self.low) * self.layers(maps).sigmoid()
        return images


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), _norm(outputs), nn.LeakyReLU(0.2)]


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, track_running_stats=False)
