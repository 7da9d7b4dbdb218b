"""A run is never overwritten unasked, and resumed by its own recipe only."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from limbeck.recipe import Recipe
from limbeck.runs import RunError, run_recipe
from limbeck.runs.resume import changed_fields, read_resolved
from tests import tiny
from tests.runs.run_files import bytes_of


@pytest.mark.parametrize("options", [{}, {"resume": True, "force": True}])
def test_a_run_is_never_overwritten_unasked(finished: Path, options: dict[str, bool]) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"--resume.*--force"):
        run_recipe(tiny.recipe(), finished, progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(finished) == before


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"force": True}])
def test_files_that_are_no_run_stay(tmp_path: Path, options: dict[str, bool]) -> None:
    (tmp_path / "thesis.tex").write_text("ten years")
    with pytest.raises(RunError, match=r"no run.*another --out"):
        run_recipe(tiny.recipe(), tmp_path, progress=False, **options)  # type: ignore[arg-type]
    with pytest.raises(RunError, match="is a file"):
        run_recipe(tiny.recipe(), tmp_path / "thesis.tex", progress=False, **options)  # type: ignore[arg-type]
    assert bytes_of(tmp_path) == {"thesis.tex": b"ten years"}


def test_force_starts_over_but_not_before_the_new_job_is_known_to_work(tmp_path: Path, finished: Path) -> None:
    folder = tmp_path / "run"
    run_recipe(tiny.recipe("training.steps=3", "control=false"), folder, progress=False)
    before = bytes_of(folder)
    with pytest.raises(ValueError, match="outputs 5 classes"):
        run_recipe(tiny.recipe("student.args.classes=5"), folder, force=True, progress=False)
    assert bytes_of(folder) == before
    run_recipe(tiny.recipe(), folder, force=True, progress=False)
    weights = "student/model.safetensors"
    assert (folder / weights).read_bytes() == (finished / weights).read_bytes() != before[weights]


def test_resuming_with_another_recipe_is_refused_and_says_what_differs(finished: Path) -> None:
    before = bytes_of(finished)
    with pytest.raises(RunError, match=r"training.steps was 12 and is 13.* limbeck distill .*recipe.yaml --out .* --resume"):
        run_recipe(tiny.recipe("training.steps=13"), finished, resume=True, progress=False)
    with pytest.raises(RunError, match=r"seeds was \[0\] and is \[1\]"):
        run_recipe(tiny.recipe("seeds=[1]"), finished, resume=True, progress=False)
    assert bytes_of(finished) == before


def test_goals_may_change_and_seeds_be_added() -> None:
    before = tiny.recipe().model_dump(mode="json")
    assert changed_fields(before, tiny.recipe("seeds=[0,1]", "targets={gain: 3}").model_dump(mode="json")) == []
    assert changed_fields(before, tiny.recipe("seeds=[1,0]").model_dump(mode="json")) != []
    assert changed_fields(before, tiny.recipe("student.args.width=5").model_dump(mode="json")) == [
        "student.args.width was 4 and is 5"
    ]


def test_fields_that_are_newer_than_a_run_have_their_defaults(tmp_path: Path) -> None:
    recipe, written = tiny.recipe(), tmp_path / "recipe.yaml"
    older = recipe.model_dump(mode="json")
    del older["data"]["train"]["missing"], older["teacher"]["reads"]
    older["store"] = older.pop("cache")
    written.write_text(yaml.safe_dump(older))
    with pytest.warns(FutureWarning, match="cache"):
        assert changed_fields(read_resolved(Recipe, written), recipe.model_dump(mode="json")) == []
