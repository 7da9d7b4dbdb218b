"""The recipes for several teachers, and the dynamic one, run for a few steps."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from limbeck import runs
from limbeck.recipe import Recipe, find_recipe, read_yaml
from tests.architecture.runs import digits

DIGITS = {"train": {"path": "digits", "split": "train", "limit": 128}, "test": {"path": "digits", "split": "test"}}
QUICK: dict[str, Any] = {"batch_size": 32, "threads": 1, "trackers": [], "device": "cpu"}


def content(name: str) -> dict[str, Any]:
    return read_yaml(find_recipe(name).read_text(encoding="utf-8"))


def run(recipe: dict[str, Any], folder: Path) -> Any:
    return runs.run_recipe(Recipe.from_dict(recipe | {"seeds": [0]}), folder, progress=False)


@pytest.mark.parametrize(
    "method",
    [
        {"agreeing_teachers": {"alpha": 1}},
        {"averaged_teachers": {"combine": "losses"}},
        {"ca_mkd": {"layer": "layer3"}},
        {"drawn_teacher": {}},
        {"gated_teachers": {"feature": "student:layer3"}},
    ],
    ids=lambda method: next(iter(method)),
)
def test_many_teachers(method: dict[str, Any], tmp_path: Path) -> None:
    recipe = content("many-teachers")
    for actor in recipe["actors"].values():
        actor["training"] = {"steps": 2, **QUICK}
        actor["args"]["width"] = 4
    short = recipe | {"data": DIGITS | {"labels": 40}, "training": {"steps": 3, **QUICK}, "method": method}
    verdict = run(short, tmp_path / "run")
    assert verdict.gain is not None
    assert verdict.retention is not None
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    weights = {name for line in log for name in line.get("weights", {})}
    if "agreeing_teachers" in method:
        assert weights == {f"soft_targets.teachers.{name}" for name in ("wide", "deep", "poor")}
    if "ca_mkd" in method:
        assert weights == {"soft_targets.item_weight", "hint.item_weight"}


def test_domains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data/mnist/train", "data/fashion_mnist/train", "test"):
        write(tmp_path / f"{name}.parquet", 24)
    monkeypatch.setenv("LIMBECK_DATA", str(tmp_path))
    monkeypatch.setenv("BOTH", str(tmp_path))
    recipe = content("teacher-domains")
    for stage in recipe["stages"]:
        del stage["epochs"]
        stage["steps"] = 2
    for name in ("digits", "clothes"):
        recipe["sources"][name]["dataset"]["batch_size"] = 8
    recipe["data"]["allow_shared_items"] = True
    del recipe["training"]["optimizer"]
    verdict = run(recipe | {"training": recipe["training"] | {"trackers": []}}, tmp_path / "run")
    assert verdict.control is None
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    (weights,) = (line["weights"] for line in log if line.get("weights"))
    assert {name: found["mean"] for name, found in weights.items()} == {
        "soft_targets.teachers.digits": 0.5,  # one item of two
        "soft_targets.teachers.clothes": 0.5,
    }


@pytest.mark.parametrize(
    "method",
    ["wsld", "easy_by_labels", "uncertain_items", "ctkd", "dynamic_temperature", "annealed", "balanced"],
)
def test_dynamic(method: str, tmp_path: Path) -> None:
    recipe = content("dynamic")
    recipe["teacher"] |= {"training": {"steps": 2, **QUICK}, "args": {"width": 4, "size": 8}}
    recipe["student"]["args"]["size"] = 8
    verdict = run(recipe | {"data": DIGITS, "training": {"steps": 11, **QUICK}, "method": {method: {}}}, tmp_path / "run")
    assert verdict.gain is not None
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    weights = {name for line in log for name in line.get("weights", {})}
    expected = {
        "wsld": {"soft_targets.item_weight"},
        "easy_by_labels": {"soft_targets.item_weight", "hard_targets.item_weight"},
        "uncertain_items": {"soft_targets.item_weight"},
        "ctkd": {"soft_targets.temperature"},
        "dynamic_temperature": {"soft_targets.temperature"},
        "annealed": set(),
        "balanced": {"balance.hard_targets", "balance.soft_targets"},
    }
    assert weights == expected[method]
    report = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert ("balance: factor of each term" in report) == (method == "balanced")


def write(path: Path, count: int) -> None:
    """Images of digits as a file of the form that the recipe reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images, labels = digits("test")
    cells = []
    for image in images[:count]:
        file = io.BytesIO()
        Image.fromarray((255 * image[0]).byte().numpy()).resize((28, 28)).save(file, "PNG")
        cells.append({"bytes": file.getvalue(), "path": None})
    pq.write_table(pa.table({"image": cells, "label": labels[:count].tolist()}), path)
