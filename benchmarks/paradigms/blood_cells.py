"""Six hospitals of blood cells, cut from the smears of BCCD: unequal in number, in classes, and in stain.

    python -m benchmarks.paradigms.blood_cells cells        # writes cells/{train,test}.parquet; needs LIMBECK_DATA

Each smear belongs to one hospital, so no cell of a hospital is seen elsewhere. A cell is cut by its box and scaled to 24 × 24
pixels; of the red cells, nine tenths of all, four of a smear are kept. A hospital's stain scales the optical density of each
colour, x → x^γ. In training a hospital keeps a share of each class only; the test cells have the stains and all classes.
"""

from __future__ import annotations

import argparse
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SIZE, RED, REDS = 24, 0, 4
SHARES = (0.30, 0.24, 0.18, 0.12, 0.09, 0.07)  # of the smears, by hospital
KEPT = ((1, 1, 1), (1, 0.2, 1), (0.2, 1, 1), (1, 1, 0.2), (1, 1, 0), (0, 1, 0.5))  # of red cells, white cells, platelets
STAINS = ((1, 1, 1), (1.3, 1.1, 0.9), (0.8, 0.9, 1.2), (1, 1.4, 1.1), (1.2, 0.8, 1), (0.7, 0.7, 0.7))  # γ of R, G, B


def cells_of(smear: dict[str, Any], hospital: int, rng: np.random.Generator, kept: tuple[float, ...]) -> list[dict[str, Any]]:
    """The cells of a smear as rows: image, label, hospital."""
    image = Image.open(io.BytesIO(smear["image"]["bytes"])).convert("RGB")
    boxes, labels = smear["objects"]["bbox"], np.array(smear["objects"]["category"])
    red = rng.permutation(np.flatnonzero(labels == RED))[:REDS]
    chosen = [*red, *np.flatnonzero(labels != RED)]
    return [
        {"image": {"bytes": png(stained(image.crop(boxes[at]), hospital)), "path": None}, "label": int(labels[at])}
        | {"hospital": hospital}
        for at in chosen
        if rng.random() < kept[labels[at]]
    ]


def stained(cell: Image.Image, hospital: int) -> Image.Image:
    pixels = np.asarray(cell.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=np.float64) / 255
    return Image.fromarray((255 * pixels ** np.array(STAINS[hospital])).round().astype(np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def write(folder: Path) -> None:
    """Writes both files; those that are there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        if (folder / f"{split}.parquet").exists():
            continue
        smears = pq.read_table(f"{os.environ['LIMBECK_DATA']}/data/blood_cells/{split}.parquet").to_pylist()
        rng = np.random.default_rng(0)
        ends = (np.cumsum(SHARES) * len(smears)).round().astype(int)
        hospitals = np.searchsorted(ends, rng.permutation(len(smears)), side="right")
        rows = [
            row
            for smear, hospital in zip(smears, hospitals.tolist(), strict=True)
            for row in cells_of(smear, hospital, rng, KEPT[hospital] if split == "train" else (1, 1, 1))
        ]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{split}.parquet")
        counts = [[sum(row["hospital"] == h and row["label"] == c for row in rows) for c in range(3)] for h in range(6)]
        print(f"{split}: {len(rows)} cells; red cells, white cells, platelets by hospital: {counts}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write(parser.parse_args().folder)


if __name__ == "__main__":
    main()
