"""`limbeck evaluate`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from limbeck.data import load_items
from limbeck.export import formats
from limbeck.models import load_model
from tests.cli.conftest import Limbeck
from tests.runs.test_evaluate import several, write_digits


def test_evaluate(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    code, out, _ = limbeck("evaluate", finished, "--data", "digits", "--split", "test")
    assert code == 0
    assert "on 599 items" in out
    assert max(map(len, out.splitlines())) <= 80
    for part in ("teacher", "control", "student", "accuracy", "ECE", "of the teacher; distillation "):
        assert part in out
    code, out, _ = limbeck("evaluate", finished, "--data", "digits", "--split", "test", "--json")
    figures = json.loads(out)
    assert figures["ci95"][0] <= figures["accuracy"] <= figures["ci95"][1]
    assert set(figures["arms"]) == {"teacher", "control", "student"}
    assert figures["gain"]["ci95"][0] <= figures["gain"]["value"] <= figures["gain"]["ci95"][1]
    for arguments, said in (
        ((finished, "--data", tmp_path / "no.parquet"), "no.parquet"),
        ((tmp_path / "no-run", "--data", "digits"), "there is no"),
        ((tmp_path, "--data", "digits"), "no run directory"),
        ((tmp_path / "no.onnx", "--data", "digits"), "there is no file"),
    ):
        code, out, err = limbeck("evaluate", *arguments)
        assert (code, out) == (2, "")
        assert said in err
    code, _, err = limbeck("evaluate", finished, "--data", "digits", "--tokenizer", "bert")
    assert code == 2
    assert "--tokenizer is an option of exported files" in " ".join(err.replace("│", " ").split())


def test_items_that_the_run_has_trained_on_are_counted(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    """`finished` has trained on 90 % of the training split of digits, and chosen by the rest."""
    code, out, _ = limbeck("evaluate", finished, "--data", "digits", "--split", "train")
    assert code == 0
    assert "items are in the training data too" in " ".join(out.split())
    assert "say little about new data" in " ".join(out.split())
    figures = json.loads(limbeck("evaluate", finished, "--data", "digits", "--split", "train", "--json")[1])
    shared = figures["shared_items"]
    assert shared["training"] + shared["validation"] == shared["items"]
    assert shared["validation"] > 0
    assert "too" not in limbeck("evaluate", finished, "--data", "digits", "--split", "test")[1]
    assert "shared_items" not in json.loads(limbeck("evaluate", finished, "--data", "digits", "--split", "test", "--json")[1])
    old = tmp_path / "old"
    shutil.copytree(finished, old)
    (old / "seen.safetensors").unlink()  # a run of an older version
    assert "shared_items" not in json.loads(limbeck("evaluate", old, "--data", "digits", "--split", "train", "--json")[1])


def test_where_the_teacher_is_never_right_nothing_is_kept_of_it(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "control")
    digits = load_items("digits", split="test")
    for at, (picture, label) in enumerate(zip(digits.fetch(torch.arange(6)), digits.target[:6].tolist(), strict=True)):
        folder = tmp_path / "wrong" / str((label + 1) % 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[0].numpy()).save(folder / f"{at}.png")
    code, out, _ = limbeck("evaluate", tmp_path / "run", "--data", tmp_path / "wrong")
    assert code == 0
    assert "reached accuracy " in out
    assert "kept" not in out


def test_evaluate_a_run_with_several_results(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    several(tmp_path / "run", finished)
    code, out, _ = limbeck("evaluate", tmp_path / "run", "--data", "digits", "--split", "test")
    assert code == 0
    for part in ("early", "retention", "student: kept ", "early: kept ", "on 599 items", "without both: "):
        assert part in out, part


def test_evaluate_an_exported_file(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    file = tmp_path / "student.onnx"
    formats.get("onnx").write(load_model(finished / "student"), file, torch.zeros(2, 1, 8, 8))
    code, out, _ = limbeck("evaluate", file, "--data", "digits", "--split", "test")
    assert code == 0
    assert out.startswith("accuracy ")
    assert "on 599 items, ECE" in out
    figures = json.loads(limbeck("evaluate", file, "--data", "digits", "--split", "test", "--json")[1])
    in_pytorch = json.loads(limbeck("evaluate", finished, "--data", "digits", "--split", "test", "--json")[1])
    assert figures["accuracy"] == pytest.approx(in_pytorch["accuracy"])
    assert figures["file"] == str(file)
    code, out, err = limbeck("evaluate", finished / "recipe.yaml", "--data", "digits")
    assert (code, out) == (2, "")
    assert "recipe.yaml is no run, no student's folder" in err


def test_few_items_are_told_as_in_the_verdict_of_a_run(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    data = write_digits(tmp_path / "few", [1])
    for folder in (tmp_path / "few").iterdir():
        for image in list(folder.iterdir())[1:]:
            image.unlink()
    code, out, _ = limbeck("evaluate", finished, "--data", data)
    assert code == 0
    assert "the test data has 10 items: intervals of fewer than 30 are rough" in " ".join(out.split())


def test_data_of_another_kind_is_named(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    """A table for a student of images."""
    (tmp_path / "rows.csv").write_text("age,size,label\n1,2.5,0\n2,3.5,1\n")
    code, _, err = limbeck("evaluate", finished, "--data", tmp_path / "rows.csv")
    assert code == 2
    assert "rows.csv: it is read as a table, and the training data is none" in " ".join(err.split())
