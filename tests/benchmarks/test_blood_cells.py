"""Cells cut from smears, and the recipe of six hospitals on such cells."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

pytest.importorskip("flwr")

from benchmarks.paradigms import blood_cells
from limbeck.data import load_items
from limbeck.integrations.flower.server import carry_out
from limbeck.integrations.flower.simulation import simulated_grid
from limbeck.integrations.flower.strategy import FederatedStrategy
from limbeck.recipe import built_in_recipes, read_yaml
from limbeck.recipe.federation import Federation

GREY = np.full((60, 100, 3), 40, dtype=np.uint8)


def smear(pixels: np.ndarray) -> dict:
    """Eight red cells, a white one and a platelet."""
    boxes = [[10.0 * at, 5.0, 10.0 * at + 9, 40.0] for at in range(10)]
    image = blood_cells.png(Image.fromarray(pixels))
    return {"image": {"bytes": image, "path": None}, "objects": {"bbox": boxes, "category": [0] * 8 + [1, 2]}}


def pixels(row: dict) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row["image"]["bytes"])))


def test_cells_are_cut_stained_and_thinned_out() -> None:
    rows = blood_cells.cells_of(smear(GREY), 1, np.random.default_rng(0), (1, 1, 1))
    assert [row["label"] for row in rows] == [0] * blood_cells.REDS + [1, 2]
    assert all(pixels(row).shape == (24, 24, 3) and row["hospital"] == 1 for row in rows)
    expected = [round(255 * (40 / 255) ** gamma) for gamma in blood_cells.STAINS[1]]
    assert pixels(rows[0])[3, 4].tolist() == expected
    assert [row["label"] for row in blood_cells.cells_of(smear(GREY), 4, np.random.default_rng(0), (1, 0, 0))] == [0] * 4
    assert len(blood_cells.STAINS) == len(blood_cells.KEPT) == len(blood_cells.SHARES)
    assert sum(blood_cells.SHARES) == pytest.approx(1)


def test_the_recipe_of_six_hospitals_runs_and_each_client_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMBECK_CELLS", str(tmp_path))
    rng = np.random.default_rng(0)
    smears = [smear(rng.integers(256, size=GREY.shape, dtype=np.uint8)) for _ in range(24)]
    rows = [row for at, each in enumerate(smears) for row in blood_cells.cells_of(each, at % 6, rng, (1, 1, 1))]
    for split in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{split}.parquet")
    content = read_yaml(built_in_recipes()["federated-cells"].read_text())
    content["federated"] |= {"rounds": 1, "method": {"feddf": {"steps": 2}}}
    content["training"]["epochs"] = 1
    recipe = Federation.from_dict(content)
    items = recipe.simulated(0)
    keys = load_items(tmp_path / "train.parquet", label="label").keys.tolist()
    hospital = {key: row["hospital"] for key, row in zip(keys, rows, strict=True)}
    hospitals = [{hospital[key] for key in own.keys.tolist()} for own in items.clients]
    assert hospitals == [{0}, {1}, {2}, {3}, {4}, {5}]
    assert items.public is not None
    assert (items.public.target == -100).all()
    strategy = carry_out(FederatedStrategy(recipe, items, "feddf", arm="student", seed=0), simulated_grid(recipe, items))
    assert [(done.asked, done.used) for done in strategy.rounds] == [(6, 6)]
    assert all(bool(torch.isfinite(weights).all()) for weights in strategy.models["student"].parameters())
