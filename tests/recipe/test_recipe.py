"""Recipes: YAML in, parts out, and every mistake named before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck.recipe import Comparison, Recipe, RecipeError, apply_override, built_in_recipes, expand_variables, read_yaml
from tests import tiny


def test_the_built_in_recipes_are_right(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = built_in_recipes().values()
    assert "digits" in [file.stem for file in files]
    for file in files:
        content = read_yaml(file.read_text())
        kind = Comparison if "variants" in content else Recipe
        recipe = kind.from_dict(content, file.name, files=False)
        assert recipe.name == file.stem
        assert recipe.description


def test_a_comparison_is_no_single_recipe() -> None:
    with pytest.raises(RecipeError, match="limbeck compare RECIPE"):
        Recipe.from_dict({**tiny.content(), "variants": {"soft": ["soft_targets"]}})


def test_what_is_written_reads_as_the_same_recipe(tmp_path: Path) -> None:
    recipe = tiny.recipe("training.views=[{random_crop: {padding: 1}}, horizontal_flip]", "training.optimizer.momentum=0.5",
                         "training.optimizer.name=sgd", "targets={gain: 1}")  # fmt: skip
    recipe.write(tmp_path / "recipe.yaml")
    again = Recipe.read(tmp_path / "recipe.yaml")
    assert again.model_dump() == recipe.model_dump()
    assert again.training.build() == recipe.training.build()


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"train": "digits"}, "data.train.path=x.parquet", {"path": "x.parquet"}),
        ({"train": "x.parquet"}, "data.train.limit=5", {"path": "x.parquet", "limit": 5}),
        ({"train": {"path": "digits"}}, "data.train.path=other", {"path": "other"}),
        ({}, "data.train.path=digits", {"path": "digits"}),
    ],
)
def test_set_reaches_into_the_short_form_of_data(before: dict[str, Any], change: str, after: dict[str, Any]) -> None:
    fields = {"data": before}
    apply_override(fields, change)
    assert fields["data"]["train"] == after


def test_set_reaches_into_lists_and_short_names() -> None:
    fields = tiny.content("training.views=[horizontal_flip, random_crop]")
    for change in ("training.views.1.random_crop.padding=2", "terms.1.soft_targets.weight=0.5", "seeds.0=7"):
        apply_override(fields, change)
    recipe = Recipe.from_dict(fields)
    assert recipe.training.views == [{"horizontal_flip": {}}, {"random_crop": {"padding": 2}}]
    assert recipe.terms[1].weight == 0.5
    assert recipe.seeds == [7]


def test_numbers_in_exponents_are_numbers() -> None:
    assert read_yaml("[1e-3, 5E4, -2.5e-1, .5e+2, 1.0e-3, 12, abc]") == [1e-3, 5e4, -0.25, 50.0, 1e-3, 12, "abc"]
    recipe = tiny.recipe("training.optimizer.weight_decay=5e-4", "terms.1.soft_targets.temperature=1e1")
    assert recipe.training.optimizer.build().options["weight_decay"] == 5e-4
    assert recipe.terms[1].build().objective.temperature == 10.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.epochs=abc", "training.epochs: .*valid number.*'abc'"),
        ("trainig.epochs=3", "trainig: there is no such field; nearest: training"),
        ("training.epohcs=3", "training.epohcs: there is no such field; nearest: epochs"),
        ("data.train.pth=x", "data.train.pth: there is no such field; nearest: path"),
        ("training.epochs=5", "training: epochs is 5 and steps is 12; give one of the two"),
        ("training.optimizer.name=adamv", "training.optimizer: unknown optimizer 'adamv'; nearest: adam"),
        ("training.optimizer.lrr=3", "training.optimizer: optimizer 'adamw'.*'lrr'"),
        ("training.optimizer.lr=-1", "training.optimizer.lr: .*greater than 0.*-1"),
        ("training.optimizer.schedule=cosin", "training.optimizer: unknown schedule 'cosin'; nearest: cosine"),
        ("training.optimizer.schedule={warmup: 3}", "training.optimizer: "),
        ("training.views=[random_corp]", "training.views: unknown transform 'random_corp'; nearest: random_crop"),
        ("training.views=[{random_crop: {paddin: 3}}]", "training.views: transform 'random_crop'.*'paddin'"),
        ("training.precision=int8", "training.precision: .*'float32', 'bfloat16' or 'float16'.*'int8'"),
        ("terms.0={soft_target: {}}", "terms.0: unknown objective 'soft_target'; nearest: soft_targets"),
        ("terms.1.soft_targets.temprature=3", "terms.1: objective 'soft_targets'.*'temprature'"),
        ("terms.1.soft_targets.weight={linea: {}}", "terms.1: unknown schedule 'linea'; nearest: linear"),
        ("terms.1.soft_targets.item_weight=foo", "terms.1: unknown weigher 'foo'; nearest: "),
        ("terms.0.hint={}", "terms.0: expected a name, or one name with its arguments"),
        ("terms=3", "terms: .*valid list.*got 3"),
        ("stages=[{terms: [soft_targets], steps: 3}]", "recipe: give terms:, stages: or method:, one of the three"),
        ("teacher.model=tinycnn", "teacher.model: unknown model 'tinycnn'; nearest: tiny_cnn"),
        ("teacher.training=null", "teacher: a teacher needs weights: .* or training:"),
        ("student=tiny_cnn", "student: .*'tiny_cnn'"),
        ("data.validation=1.5", "data.validation: .*less than 1.*1.5"),
        ("data.validation={pth: x}", "data.validation.pth: there is no such field"),
        ("data.test.on_error=ignore", "data.test.on_error: .*'raise' or 'skip'.*'ignore'"),
        ("data.train=/nowhere/x.parquet", "data.train: there is no folder /nowhere"),
        ("data.train=${LIMBECK_NO_SUCH}/x", "data.train: .*environment variable LIMBECK_NO_SUCH, which is not set"),
        ("seeds=[]", "seeds: "),
        ("seeds=[1,1]", "seeds .* hold one twice"),
        ("targets={gian: 3}", "unknown target 'gian'; nearest: gain"),
        ("name=a/b", "name: .*'a/b'"),
    ],
)
def test_a_wrong_value_is_named_with_its_field(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny.recipe(change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("training.epochs", "expected path=value"),
        ("training..epochs=3", "expected path=value"),
        ("terms.5.x=2", "'5' is no position in a list of 2"),
        ("name.x.y=2", "'x' lies within 'tiny', which has no fields"),
        ("seeds=[", "the value does not read as YAML"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused(change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        tiny.content(change)


def test_files_are_looked_for_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").touch()
    with pytest.raises(RecipeError, match=r"data.test: there is no file .*test.parquet; nearest: train.parquet"):
        tiny.recipe(f"data.test={tmp_path}/test.parquet")
    with pytest.raises(RecipeError, match=r"teacher.weights: there is no file .*; nearest: train.parquet"):
        tiny.recipe(f"teacher.weights={tmp_path}/w.safetensors")
    with pytest.raises(RecipeError, match=r"data.train: there is no folder"):
        tiny.recipe("data.train=./no/such/folder")


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is no YAML"), ("- a\n- b", "holds list; expected fields"), ("name: a\nname: b", "'name' is given twice")],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=said):
        Recipe.read(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="is no YAML"):
        Recipe.read(path)
    with pytest.raises(RecipeError, match=r"rr.yaml: there is no such file; nearest: r.yaml"):
        Recipe.read(tmp_path / "rr.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        Recipe.read(tmp_path)


def test_the_environment_and_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "/data")
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_variables("${PLACE}/a.parquet", "data.train") == "/data/a.parquet"
    assert expand_variables("~/a.parquet", "data.train") == "/home/me/a.parquet"


def test_models_take_their_classes_from_the_data_and_name_wrong_arguments() -> None:
    recipe = tiny.recipe("student.args.widht=3")
    with pytest.raises(ValueError, match=r"model 'tiny_cnn' with .*'widht': 3.*widht"):
        recipe.student.new(10, 1)
    student = tiny.recipe().student.new(7, 1)
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
