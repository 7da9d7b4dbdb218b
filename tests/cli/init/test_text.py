"""The recipe as text."""

from __future__ import annotations

from dataclasses import replace

import yaml

from limbeck.cli.init.suggest import SuggestedTraining
from limbeck.cli.init.text import RecipeDraft, RecipeModels, format_args, write
from limbeck.recipe import DatasetSpec, Recipe
from limbeck.recipe.schema.models import StudentSpec, TeacherSpec


def draft(*, features: bool) -> RecipeDraft:
    mark = "" if features else "# "
    return RecipeDraft(
        name="mine",
        description="digits: 10 classes",
        train=DatasetSpec(path="digits", split="train"),
        test=DatasetSpec(path="digits", split="test"),
        models=RecipeModels(
            ["terms:", "  - hard_targets", f"  {mark}- attention_transfer: {{student: layer1, teacher: layer1}}"],
            TeacherSpec.model_validate({"model": "tiny_cnn", "args": {"width": 8, "size": 8}, "training": {}}),
            StudentSpec.model_validate({"model": "tiny_cnn", "args": {"width": 4, "size": 8}}),
            targets={"gain": (0, "  # points"), "compression": (3.9, "")},
        ),
        training=SuggestedTraining(10, 32, [{"random_crop": {"padding": 1}}]),
        formats=["onnx"],
        command="limbeck distill mine.yaml",
    )


def test_the_text_is_the_recipe_that_it_describes() -> None:
    for features in (False, True):
        text = write(draft(features=features))
        recipe = Recipe.from_dict(yaml.safe_load(text))
        assert [term.objective for term in recipe.terms[1:]] == ["attention_transfer"] * features
        assert (recipe.training.epochs, recipe.training.batch_size, recipe.seeds) == (10, 32, [0, 1, 2])
        assert recipe.targets == {"gain": 0, "compression": 3.9}
        assert recipe.teacher.training is not None
        assert "limbeck distill mine.yaml" in text.splitlines()[0]


def test_names_that_yaml_reads_as_something_else_are_quoted() -> None:
    text = write(replace(draft(features=False), name="off"))
    assert yaml.safe_load(text)["name"] == "off"


def test_arguments_stand_behind_the_name_of_a_model() -> None:
    assert format_args({"depth": 8, "widths": [8, 16]}) == " {depth: 8, widths: [8, 16]}"
    assert format_args({}) == ""
