"""Files of images and tables for tests."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from limbeck.data import Items

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def cell(pixels: np.ndarray, path: str | None = None) -> dict[str, Any]:
    return {"bytes": png(pixels), "path": path}


def parquet(path: Path, **columns: list[Any] | pa.Array) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def everything(items: Items) -> Any:
    return items.fetch(torch.arange(len(items)))


def targets(items: Items) -> list[int]:
    assert items.target is not None
    return items.target.tolist()


CELLS = [cell(pixels) for pixels in PIXELS]


EXPECTED = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)


def folder_of_images(root: Path) -> Path:
    for row, name in enumerate(["dog/b.png", "dog/a.PNG", "cat/z.png"]):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png(PIXELS[row]))
    return root
