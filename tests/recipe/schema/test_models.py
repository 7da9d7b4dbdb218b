"""Models by name, or made from the teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import runs
from limbeck.models import load_model
from limbeck.recipe import RecipeError
from limbeck.recipe.schema.models import StudentSpec, TeacherSpec
from tests import tiny
from tests.recipe.texts import quick


def test_models_take_their_classes_from_the_data_and_name_wrong_arguments() -> None:
    with pytest.raises(RecipeError, match=r"student: model 'tiny_cnn': got an unexpected .* 'widht'; nearest: width"):
        tiny.recipe("student.args.widht=3")
    student = tiny.recipe().student.new(7, 1)
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 7)


def test_a_recipe_adds_exits_and_chooses_an_output() -> None:
    student = tiny.recipe('student.exits=["layer1.0"]', "student.output=(1)").student
    made = student.new(7, 1)
    assert made.exits.layer1_0.classifier.out_features == 7
    assert student.options()["output"] == "(1)"
    with pytest.raises(RecipeError, match="exits: unknown tap 'layr1'"):
        tiny.recipe("student.exits=[layr1]").student.new(7, 1)


def test_exits_are_measured_on_items_of_the_data() -> None:
    args = {"size": 8, "patch": 4, "dim": 16, "depth": 2, "heads": 2}
    student = tiny.recipe("student.model=vit_tiny", f"student.args={args}", 'student.exits=["blocks.0"]').student
    made = student.new(7, 1, None, (1, 8, 8))  # the network takes images of this size only
    assert made.exits.blocks_0.classifier.in_features == 16


def test_exits_are_trained_and_kept(tmp_path: Path) -> None:
    recipe = tiny.recipe(
        "student.exits=[layer1, layer2]",
        "terms=[hard_targets, {soft_targets: {student: 'student:exits.*', teacher: 'student:logits'}}]",
    )
    runs.run_recipe(recipe, tmp_path / "run", progress=False)
    student = load_model(tmp_path / "run" / "student")
    assert {key.split(".")[1] for key in student.state_dict() if key.startswith("exits")} == {"layer1", "layer2"}
    assert student(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_exits_need_a_model_by_name(place: Path) -> None:
    with pytest.raises(RecipeError, match="exits: only a model by name"):
        quick(place, student={"from_teacher": {"init_from_teacher": {"layers": [0]}}, "exits": ["bert"]})


def test_a_vocabulary_needs_a_student_made_from_the_teacher(place: Path) -> None:
    with pytest.raises(RecipeError, match="it is cut from the teacher's"):
        quick(place, student={"model": "mlp", "args": {"inputs": 4}, "vocabulary": True})


@pytest.mark.parametrize("shared", [False, True])
def test_a_factorised_student_from_a_recipe(place: Path, tmp_path: Path, shared: bool) -> None:
    way = {"factorised": {"embedding": 8, "layers": [0, 3], "shared": shared}}
    runs.run_recipe(quick(place, student={"from_teacher": way}), tmp_path / "run", progress=False)
    student = load_model(tmp_path / "run" / "student")
    assert type(student).__name__ == f"{'Albert' if shared else 'Electra'}ForSequenceClassification"
    assert (student.config.embedding_size, student.config.num_hidden_layers) == (8, 2)


@pytest.mark.parametrize(
    ("model", "random", "trained"),
    [
        ("timm", {"model": "resnet18"}, {"model": "resnet18", "pretrained": True}),
        ("torchvision", {"model": "resnet18"}, {"model": "resnet18", "weights": "DEFAULT"}),
        ("transformers", {"name_or_path": "x", "pretrained": False}, {"name_or_path": "x"}),
    ],
)
def test_a_teacher_with_random_weights_is_refused(model: str, random: dict[str, Any], trained: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"so this {model} model has random weights, and a teacher needs trained ones"):
        TeacherSpec(model=model, args=random)
    assert TeacherSpec(model=model, args=trained).training is None
    assert TeacherSpec(model=model, args=random, weights="w.safetensors").weights
    assert TeacherSpec.model_validate({"model": model, "args": random, "training": {"epochs": 1}}).training is not None


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ({"narrower": {"layers": 1, "./x": 1}}, r"'narrower': got an unexpected keyword argument '\./x'"),
        ({"init_from_teacher": {}}, "'init_from_teacher': missing a required argument: 'layers'"),
        ({"narrower": {"layers": "x"}}, "layers='x': expected int or None"),
    ],
)
def test_arguments_of_a_way_to_make_the_student_are_checked_when_it_is_read(way: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        StudentSpec.model_validate({"from_teacher": way})
