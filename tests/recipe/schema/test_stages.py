"""Several stages."""

from __future__ import annotations

from pathlib import Path

from limbeck import runs
from limbeck.recipe import Recipe
from tests.recipe.texts import quick


def test_stages_freeze_scale_rates_and_train_an_assistant(place: Path, tmp_path: Path) -> None:
    smaller = {"narrower": {"layers": 2, "hidden": 16, "initialise": "truncate"}}
    between = {"from_teacher": {"narrower": {"layers": 4, "hidden": 16, "initialise": "truncate"}}}
    hidden = {"hidden_states": {"student": "assistant:hidden(-1)", "teacher": "teacher:hidden(-1)"}}
    stages = [
        {"terms": [hidden], "trains": "assistant", "actors": {"assistant": between}, "steps": 4},
        {
            "terms": [{"hidden_states": {"student": "hidden(-1)", "teacher": "assistant:hidden(-1)"}}],
            "steps": 4,
            "freeze": ["bert.embeddings"],
            "lr_scale": {"bert.encoder.layer.0": 0.1},
            "data": {"path": str(place / "train.parquet"), "label": False},
        },
        {"terms": ["soft_targets"], "steps": 4, "unfreeze": [""]},
    ]
    content = quick(place, student={"from_teacher": smaller}).model_dump(mode="json", exclude={"terms"}) | {"stages": stages}
    verdict = runs.run_recipe(Recipe.from_dict(content), tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.student_steps == 12
    again = Recipe.read(tmp_path / "run" / "recipe.yaml")
    assert again.stages[1].lr_scale == {"bert.encoder.layer.0": 0.1}
    assert again.stages[0].actors["assistant"].from_teacher == between["from_teacher"]
