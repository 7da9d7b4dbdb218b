"""The task of a recipe is a name of the registry, with the task's arguments."""

from __future__ import annotations

import pytest
import torch

from limbeck import tasks
from limbeck.recipe import Recipe, RecipeError
from limbeck.tasks import Classification

FIELDS = {
    "name": "t",
    "data": {"train": "digits", "test": {"path": "digits", "split": "test"}},
    "teacher": {"model": "mlp", "training": {"epochs": 1}},
    "student": {"model": "mlp"},
    "terms": ["soft_targets"],
}


class Signs(Classification):
    """Signs of numbers: two classes of one column."""

    name = "signs"
    unit = "numbers"
    output_name = "sign"

    def __init__(self, metric=None, threshold: float = 0.0) -> None:
        super().__init__(metric)
        self.threshold = threshold

    def read_labels(self, table, columns, classes=None):
        values = torch.tensor(table.columns[columns[0]].to_pylist())
        return (values > self.threshold).long(), ["below", "above"]


@pytest.fixture
def signs(monkeypatch):
    monkeypatch.setattr(tasks.registry, "_parts", {**tasks.registry._parts, "signs": Signs})


def recipe(task, **fields):
    return Recipe.from_dict(FIELDS | {"task": task} | fields)


def test_an_unknown_task_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match="task: unknown task 'clasification'; nearest: classification"):
        recipe("clasification")


def test_arguments_of_a_task():
    assert recipe({"masked_language_modelling": {"share": 0.4}}).new_task().share == 0.4
    assert recipe({"classification": None}).task == "classification"
    with pytest.raises(RecipeError, match=r"task: task 'classification': .*unexpected keyword argument 'share'"):
        recipe({"classification": {"share": 0.4}})
    with pytest.raises(RecipeError, match="task: metric stands beside task:"):
        recipe({"classification": {"metric": "f1"}})


def test_the_metric_must_be_one_of_the_task():
    assert recipe("classification", metric="f1").new_task().metric.name == "f1"
    with pytest.raises(RecipeError, match="'pearson' is no metric of classification; choose one of accuracy, f1, matthews"):
        recipe("classification", metric="pearson")


def test_a_registered_task_reads_its_labels(signs, tmp_path):
    lines = ["x,y"] + [f"{value},{value - 3}" for value in range(8)]
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text("\n".join(lines), encoding="utf-8")
    data = {part: {"path": str(tmp_path / f"{part}.csv"), "label": "y", "table": True} for part in ("train", "test")}
    read = recipe({"signs": {"threshold": 1.5}}, data=data)
    items = read.load().train
    assert items.target.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert items.class_names == ["below", "above"]
    assert Recipe.from_dict(read.model_dump(mode="json")).new_task().threshold == 1.5


def test_reports_ask_the_task_for_its_words(signs):
    assert (tasks.task_type("signs").unit, tasks.task_type("signs").output_name) == ("numbers", "sign")
    assert tasks.task_type("question_answering").unit == "questions"
    assert tasks.task_type("of_a_plugin_that_is_not_loaded") is tasks.Task


def test_what_gives_no_task_is_refused(monkeypatch):
    monkeypatch.setattr(tasks.registry, "_parts", {**tasks.registry._parts, "table": lambda metric: {}})
    with pytest.raises(RecipeError, match=r"gives dict; a task is a limbeck\.tasks\.Task"):
        recipe("table")


def test_the_schema_lists_the_tasks_and_takes_others():
    options = Recipe.model_json_schema()["properties"]["task"]["anyOf"]
    assert "question_answering" in options[0]["enum"]
    assert {"type": "string"} in options
