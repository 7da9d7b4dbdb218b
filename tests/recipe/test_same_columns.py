"""Data sets without names of columns are read as the training data is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import runs
from limbeck.recipe import Recipe

ROWS = "text,body,label,stars,size\nsame,1.0,z,{},2\nsame,3.0,z,{},1\nsame,2.0,y,{},5\nsame,4.0,y,{},3\n"


def recipe(folder: Path, test: str, **columns: object) -> Recipe:
    (folder / "train.csv").write_text(ROWS.format("good", "bad", "good", "bad"))
    (folder / "test.csv").write_text(ROWS.format("bad", "good", "good", "good").replace("1.0", "1.5"))
    data = {"train": {"path": str(folder / "train.csv"), **columns}, "test": str(folder / test)}
    mlp = {"model": "mlp", "args": {"hidden": [2]}}
    training = {"steps": 1, "batch_size": 4, "trackers": []}
    content = {"name": "columns", "data": data, "student": mlp, "terms": ["hard_targets"], "training": training, "seeds": [0]}
    return Recipe.from_dict(content)


def test_the_test_data_has_the_label_and_the_inputs_of_the_training_data(tmp_path: Path) -> None:
    _, _, _, test = recipe(tmp_path, "test.csv", label="stars", table={"numeric": ["body"]}).load()
    assert test.class_names == ["bad", "good"]
    assert test.target is not None
    assert test.target.tolist() == [0, 1, 1, 1]
    reader = recipe(tmp_path, "test.csv", label="stars", input=["text", "label"]).reader
    assert reader.raw_items(reader.data.test).fetch(torch.tensor([0, 2])) == [("same", "z"), ("same", "y")]


def test_a_column_that_is_missing_is_found_by_its_name_and_said(tmp_path: Path) -> None:
    content = ROWS.format("bad", "good", "good", "good").replace(",stars", ",other").replace("1.0", "1.5")
    (tmp_path / "renamed.csv").write_text(content.replace("z", "good").replace("y", "bad"))
    wanted = recipe(tmp_path, "renamed.csv", label="stars", input="text")
    said = r"renamed.csv: no column 'stars', the label of the recipe's other data; it is found by type or name"
    with pytest.warns(UserWarning, match=said):
        items = wanted.reader.raw_items(wanted.data.test)
    assert items.target is not None
    assert [items.class_names[label] for label in items.target.tolist()] == ["good", "good", "bad", "bad"]


def test_a_run_is_evaluated_on_the_columns_that_it_was_trained_on(tmp_path: Path) -> None:
    wanted = recipe(tmp_path, "test.csv", label="stars", table={"numeric": ["body", "size"]})
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    (tmp_path / "moved.csv").write_text((tmp_path / "test.csv").read_text())
    found = runs.evaluate_run(tmp_path / "run", str(tmp_path / "moved.csv"))
    assert found.verdict.student.per_class == pytest.approx(verdict.student.per_class)
    assert found.as_json()["accuracy"] == pytest.approx(verdict.student.metric)
