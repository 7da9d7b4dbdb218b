"""Decoders of JPEGs beside Pillow, up to an image of 224 pixels.

pip install simplejpeg pyvips pyvips-binary
OMP_NUM_THREADS=1 VIPS_CONCURRENCY=1 python -m benchmarks.real_sizes.decoders
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import bars
from benchmarks.real_sizes.data import SIDE, photograph
from limbeck.data.image.decode import decode_image

COUNT, TURNS = 100, 5


def large(content: bytes) -> bytes:
    """The photograph at six million pixels."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).resize((3000, 2000), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def ours(content: bytes) -> Any:
    return decode_image(content, (SIDE, SIDE), 3)


def simplejpeg(content: bytes) -> Any:
    """Decoded at the smallest scale of at least twice the size, and resized by Pillow."""
    import simplejpeg

    pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=2 * SIDE, min_width=2 * SIDE)
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def pyvips(content: bytes) -> Any:
    """libvips' own way to a thumbnail."""
    import pyvips

    image = pyvips.Image.thumbnail_buffer(content, SIDE, height=SIDE, crop="centre").numpy()
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def seconds(decode: Callable[[bytes], Any], images: list[bytes]) -> float:
    began = time.process_time()
    for content in images:
        decode(content)
    return time.process_time() - began


def main() -> None:
    random = np.random.default_rng(0)
    small = [photograph(random) for _ in range(COUNT)]
    for name, images in (("300 to 500 pixels", small), ("3000 × 2000 pixels", [large(content) for content in small[:10]])):
        for other in (simplejpeg, pyvips):
            ratios = [seconds(other, images) / seconds(ours, images) for _ in range(TURNS)]
            bars.record(
                "real-sizes", f"JPEGs of {name}: {other.__name__} ÷ Pillow", "no goal", statistics.median(ratios),
                [min(ratios), max(ratios)], True,
                "OMP_NUM_THREADS=1 VIPS_CONCURRENCY=1 python -m benchmarks.real_sizes.decoders",
                f"processor time from bytes to {SIDE} pixels, {len(images)} synthetic photographs", TURNS,
                "the interval is the range of the turns",
            )  # fmt: skip


if __name__ == "__main__":
    main()
