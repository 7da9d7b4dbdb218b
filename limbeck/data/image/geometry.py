"""Transforms that move or erase pixels. Bilinear resizing is written as four gathers, so that it is exact on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from limbeck.data.image.affine import Affine, Size
from limbeck.data.image.decode import Box
from limbeck.data.image.storage import OriginalImages
from limbeck.data.image.transform import Transform, check_fraction, to_float, transforms
from limbeck.data.keyed_random import KeyedGenerator

ATTEMPTS = 10  # boxes drawn until one fits


@transforms.register("random_crop")
class RandomCrop(Transform):
    """Crops a random window of the size of the image from the padded image.

    Args:
        padding: pixels added on every side.
        fill: value of the padding, or "reflect" to mirror the image at its edges.
    """

    name: ClassVar[str] = "random_crop"

    def __init__(self, padding: int = 4, fill: float | Literal["reflect"] = 0) -> None:
        if padding < 0:
            raise ValueError(f"padding={padding}: expected 0 or more pixels")
        if fill != "reflect":
            check_fraction("fill", fill)
        self.padding, self.fill = padding, fill

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        height, width = images.shape[2:]
        corner = self._corner(generator)
        windows = self._pad(images).unfold(2, height, 1).unfold(3, width, 1)  # a view, not a copy
        items = torch.arange(len(images), device=images.device)
        return windows[items, :, corner[:, 0], corner[:, 1]]

    def affine(self, size: Size, generator: KeyedGenerator) -> Affine:
        shift = (self.padding - self._corner(generator)).flip(1).cpu().double()
        return Affine(torch.ones_like(shift), shift, size, size)

    def _corner(self, generator: KeyedGenerator) -> Tensor:
        """Top and left of the window in the padded image, `[B, 2]`."""
        return generator.integers(2, 2 * self.padding + 1)

    def _pad(self, images: Tensor) -> Tensor:
        sides = (self.padding,) * 4
        if self.fill == "reflect":
            return F.pad(to_float(images), sides, mode="reflect")
        # black is exact in uint8 too, and moving bytes is four times faster; other fills need not be n / 255
        return F.pad(images if self.fill == 0 else to_float(images), sides, value=float(self.fill))


@transforms.register("horizontal_flip")
class HorizontalFlip(Transform):
    """Mirrors the image left to right with probability `p`."""

    name: ClassVar[str] = "horizontal_flip"

    def __init__(self, p: float = 0.5) -> None:
        self.p = check_fraction("p", p)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        mirrored = generator.uniform(1)[:, 0] < self.p
        changed = images.clone()
        flipped = images[mirrored].cpu().numpy()[..., ::-1].copy()  # three times as fast as torch's flip
        changed[mirrored] = torch.from_numpy(flipped).to(images.device)
        return changed

    def affine(self, size: Size, generator: KeyedGenerator) -> Affine:
        mirrored = (generator.uniform(1)[:, 0] < self.p).cpu()
        scale, shift = torch.ones(len(mirrored), 2, dtype=torch.float64), torch.zeros(len(mirrored), 2, dtype=torch.float64)
        scale[mirrored, 0], shift[mirrored, 0] = -1, size[1]
        return Affine(scale, shift, size, size)


@transforms.register("random_resized_crop")
class RandomResizedCrop(Transform):
    """Crops a box of random area and aspect ratio and resizes it bilinearly, without antialiasing.

    Boxes are drawn as torchvision draws them: if none of ten fits, the largest central box of an allowed ratio is used.
    Images that are resized when they are loaded (`size`) are cropped before that, so that a small box has all the pixels of the
    file, and with antialiasing, as Pillow resizes.

    Args:
        scale: range of the share of the area that the box covers.
        ratio: range of width over height of the box.
        size: of the result, N for N×N or (height, width). Default: the size of the image.
    """

    name: ClassVar[str] = "random_resized_crop"
    reads_originals: ClassVar[bool] = True

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        size: int | tuple[int, int] | None = None,
    ) -> None:
        self.scale, self.ratio = _range("scale", scale, 1), _range("ratio", ratio)
        self.size = (size, size) if isinstance(size, int) else size
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size={size}: expected N for N×N pixels, or (height, width), 1 or more")

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        height, width = images.shape[2:]
        boxes = torch.tensor(self._boxes(height, width, generator), device=images.device)
        out_height, out_width = self.size or (height, width)
        images = _resample(to_float(images), _rows, boxes[:, 0], boxes[:, 2], out_height)
        return _resample(images, _columns, boxes[:, 1], boxes[:, 3], out_width)

    def crop_originals(self, originals: OriginalImages, generator: KeyedGenerator) -> Tensor:
        numbers, sizes = generator.uniform(4 * ATTEMPTS).tolist(), originals.sizes.tolist()
        boxes = [self._box(row, *size) for row, size in zip(numbers, sizes, strict=True)]
        return originals.crop(boxes, self.size or originals.size)

    def affine(self, size: Size, generator: KeyedGenerator) -> Affine:
        boxes, after = torch.tensor(self._boxes(*size, generator), dtype=torch.float64), self.size or size
        scale = torch.tensor(after, dtype=torch.float64) / boxes[:, 2:]
        return Affine(scale.flip(1), (-boxes[:, :2] * scale).flip(1), size, after)

    def _boxes(self, height: int, width: int, generator: KeyedGenerator) -> list[Box]:
        return [self._box(row, height, width) for row in generator.uniform(4 * ATTEMPTS).tolist()]

    def _box(self, numbers: list[float], height: int, width: int) -> Box:
        return random_box(numbers, height, width, self.scale, self.ratio) or self._central_box(height, width)

    def _central_box(self, height: int, width: int) -> Box:
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        box_height, box_width = min(height, round(width / ratio)), min(width, round(height * ratio))
        return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


@transforms.register(
    "cutout",
    cite="""
        @misc{devries2017improved,
            title = {Improved Regularization of Convolutional Neural Networks with Cutout},
            author = {DeVries, Terrance and Taylor, Graham W.},
            year = {2017},
            eprint = {1708.04552},
            archiveprefix = {arXiv},
        }
    """,
)
class Cutout(Transform):
    """Erases a square of `size`×`size` pixels around a random pixel; near an edge the square is cut off.

    Source: DeVries and Taylor 2017, Cutout (arXiv:1708.04552).
    """

    name: ClassVar[str] = "cutout"
    in_place: ClassVar[bool] = True

    def __init__(self, size: int = 16, p: float = 1.0, fill: float = 0.0) -> None:
        if size < 1:
            raise ValueError(f"size={size}: expected at least one pixel")
        self.size, self.p, self.fill = size, check_fraction("p", p), check_fraction("fill", fill)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        height, width = images.shape[2:]
        drawn = generator.uniform(3)
        sides = torch.tensor([height, width], device=images.device)
        corner = (drawn[:, :2] * sides).to(torch.int64) - self.size // 2
        inside = box_mask(corner, torch.full_like(corner, self.size), height, width)
        return erase(images, inside & (drawn[:, 2] < self.p)[:, None, None], self.fill)


@transforms.register(
    "random_erasing",
    cite="""
        @inproceedings{zhong2020random,
            title = {Random Erasing Data Augmentation},
            author = {Zhong, Zhun and Zheng, Liang and Kang, Guoliang and Li, Shaozi and Yang, Yi},
            booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
            year = {2020},
            eprint = {1708.04896},
            archiveprefix = {arXiv},
        }
    """,
)
class RandomErasing(Transform):
    """Erases a random box with probability `p`; nothing is erased if none of ten drawn boxes fits.

    Args:
        p: probability.
        scale: range of the share of the area that the box covers.
        ratio: range of width over height of the box.
        fill: value of the erased pixels.

    Source: Zhong et al. 2017, Random Erasing (arXiv:1708.04896).
    """

    name: ClassVar[str] = "random_erasing"
    in_place: ClassVar[bool] = True

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        fill: float = 0.0,
    ) -> None:
        self.p, self.fill = check_fraction("p", p), check_fraction("fill", fill)
        self.scale, self.ratio = _range("scale", scale, 1), _range("ratio", ratio)

    def __call__(self, images: Tensor, generator: KeyedGenerator) -> Tensor:
        height, width = images.shape[2:]
        nothing = (0, 0, 0, 0)
        boxes = torch.tensor(
            [
                (random_box(row[1:], height, width, self.scale, self.ratio) or nothing) if row[0] < self.p else nothing
                for row in generator.uniform(1 + 4 * ATTEMPTS).tolist()
            ],
            device=images.device,
        )
        return erase(images, box_mask(boxes[:, :2], boxes[:, 2:], height, width), self.fill)


def random_box(
    numbers: list[float], height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> Box | None:
    """The first box of the drawn areas and ratios that fits, in double precision; None if none fits.

    Args:
        numbers: uniform random numbers of one item, four for each attempt: area, ratio, top, left.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for area, aspect, top, left in zip(*(iter(numbers),) * 4, strict=True):
        pixels = height * width * (scale[0] + area * (scale[1] - scale[0]))
        shape = math.exp(low + aspect * (high - low))
        box_height, box_width = round(math.sqrt(pixels / shape)), round(math.sqrt(pixels * shape))
        if 0 < box_height <= height and 0 < box_width <= width:
            top_row, left_column = int(top * (height - box_height + 1)), int(left * (width - box_width + 1))
            return top_row, left_column, box_height, box_width
    return None


def box_mask(corner: Tensor, extent: Tensor, height: int, width: int) -> Tensor:
    """Which pixels lie in the box of each item, bool `[B, H, W]`.

    Args:
        corner: top and left, int64 `[B, 2]`; boxes may reach over the edges.
        extent: height and width, int64 `[B, 2]`.
    """

    def along(axis: int, length: int) -> Tensor:
        offset = torch.arange(length, device=corner.device) - corner[:, axis, None]
        return (offset >= 0) & (offset < extent[:, axis, None])

    return along(0, height)[:, :, None] & along(1, width)[:, None, :]


def erase(images: Tensor, mask: Tensor, fill: float) -> Tensor:
    """Images whose pixels under the mask `[B, H, W]` hold `fill`."""
    return (images if fill == 0 else to_float(images)).masked_fill(mask[:, None], fill)


def _resample(images: Tensor, take: Callable[[Tensor, Tensor], Tensor], start: Tensor, length: Tensor, size: int) -> Tensor:
    """Resizes rows or columns `start … start + length` of each image to `size` by linear interpolation.

    Sampling points are those of `F.interpolate(align_corners=False)`, clamped to this range.

    Args:
        take: `_rows` or `_columns`.
    """
    first, extent = start.double()[:, None], length.double()[:, None]
    centres = torch.arange(size, device=images.device, dtype=torch.float64) + 0.5
    offset = (centres * extent / size - 0.5).clamp_(min=0)
    offset = torch.minimum(offset, extent - 1)
    lower = offset.floor()
    upper = torch.minimum(lower + 1, extent - 1)
    share = (offset - lower).float()
    near, far = (take(images, (first + at).long()) for at in (lower, upper))
    share = share[:, None, :, None] if take is _rows else share[:, None, None, :]
    return near.mul_(1 - share).add_(far.mul_(share))  # in place: large temporaries take longer than the arithmetic


def _rows(images: Tensor, index: Tensor) -> Tensor:
    """`images[b, :, index[b]]`, copied row by row."""
    count, channels, height, width = images.shape
    plane = torch.arange(count * channels, device=images.device).view(count, channels, 1) * height
    source = (plane + index[:, None, :]).flatten()
    return images.reshape(-1, width).index_select(0, source).view(count, channels, -1, width)


def _columns(images: Tensor, index: Tensor) -> Tensor:
    """`images[b, :, :, index[b]]`."""
    return images.gather(3, index[:, None, None, :].expand(-1, *images.shape[1:3], -1))


def _range(name: str, value: tuple[float, float], top: float = math.inf) -> tuple[float, float]:
    low, high = value
    if not 0 < low <= high <= top or high == math.inf:
        raise ValueError(f"{name}={value}: expected 0 < low <= high" + ("" if top == math.inf else f" <= {top}"))
    return float(low), float(high)
