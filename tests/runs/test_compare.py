"""A comparison from recipe to table: stopped, gone on with, shared, and with a method that breaks down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import runs
from limbeck.evaluation import ComparisonVerdict, load_predictions
from limbeck.recipe import Comparison, RecipeError
from limbeck.runs import RunError
from limbeck.runs import compare as comparisons
from limbeck.runs.compare import FAILURE_FILE, run_comparison
from limbeck.tasks import Classification
from limbeck.utils.folder_lock import lock_folder
from tests import tiny

VARIANTS: dict[str, Any] = {
    "soft": [{"hard_targets": {"weight": 0.1}}, {"soft_targets": {"weight": 0.9}}],
    "hint+soft": ["hard_targets", "soft_targets", {"hint": {"student": "auto"}}],
}


def comparison(**variants: Any) -> Comparison:
    content = {name: part for name, part in tiny.content().items() if name != "terms"}
    return Comparison.from_dict({**content, "variants": variants or VARIANTS})


def test_one_run_a_method_and_a_control(tmp_path: Path) -> None:
    verdict = run_comparison(comparison(), tmp_path / "few", progress=False)
    assert verdict is not None
    assert set(verdict.rows) == {"control", "soft", "hint+soft"}
    assert verdict.rows["control"].gain is None
    assert ComparisonVerdict.load(tmp_path / "few" / "comparison.json") == verdict
    assert len(list((tmp_path / "few").glob("**/teacher/config.json"))) == 1  # trained once
    assert set(load_predictions(tmp_path / "few" / "soft")) == {"teacher", "student"}


def test_the_added_control_is_the_control_of_a_single_run(tmp_path: Path) -> None:
    """Comparing costs no truth: the variant `control` has the weights that a run's own control has."""
    few = comparison(soft=VARIANTS["soft"])
    few.data.labels, few.data.labels_seed = 100, 1
    assert run_comparison(few, tmp_path / "few", progress=False) is not None
    single = tiny.recipe("data.labels=100", "data.labels_seed=1")
    runs.run_recipe(single, tmp_path / "single", progress=False)
    ours, theirs = load_predictions(tmp_path / "few" / "control")["student"], load_predictions(tmp_path / "single")["control"]
    assert ours.logits is not None
    assert theirs.logits is not None
    assert (ours.logits == theirs.logits).all()


def test_a_stopped_comparison_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    real = comparisons.run_recipe

    def stop_at_the_third(recipe: Any, *arguments: Any, **options: Any) -> Any:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(recipe.name)
        return real(recipe, *arguments, **options)

    monkeypatch.setattr(comparisons, "run_recipe", stop_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        run_comparison(comparison(), tmp_path / "few", progress=False)
    with pytest.raises(RunError, match="continue it with --resume"):
        run_comparison(comparison(), tmp_path / "few", progress=False)
    began = [*done]
    monkeypatch.setattr(comparisons, "run_recipe", lambda recipe, *a, **o: (done.append(recipe.name), real(recipe, *a, **o))[1])
    verdict = run_comparison(comparison(**VARIANTS, more=["soft_targets"]), tmp_path / "few", resume=True, progress=False)
    assert verdict is not None
    assert done[: len(began)] == began
    assert set(done[len(began) :]) == {"hint+soft", "more"}  # what was finished is not done again; variants may be added
    assert set(verdict.rows) == {"control", "soft", "hint+soft", "more"}


def test_what_another_process_has_in_hand_is_left_to_it(tmp_path: Path) -> None:
    folder = tmp_path / "few"
    (folder / "soft").mkdir(parents=True)
    comparison().write(folder / "recipe.yaml")
    with lock_folder(folder / "soft"):
        assert run_comparison(comparison(), folder, resume=True, progress=False) is None
    assert (folder / "control" / "verdict.json").exists()
    assert not (folder / "soft" / "verdict.json").exists()
    assert run_comparison(comparison(), folder, resume=True, progress=False) is not None


def test_a_method_that_breaks_down_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    broken = ["hard_targets", {"logit_mse": {"weight": 1e39}}]
    verdict = run_comparison(comparison(soft=VARIANTS["soft"], broken=broken), tmp_path / "few", progress=False)
    assert verdict is not None
    assert set(verdict.rows) == {"control", "soft"}
    assert "NaN or infinite" in verdict.failed["broken"]
    assert (tmp_path / "few" / "broken" / FAILURE_FILE).exists()


def test_foreign_folders_and_other_recipes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("…")
    with pytest.raises(RunError, match="no comparison"):
        run_comparison(comparison(), tmp_path / "letters", progress=False)
    run_comparison(comparison(soft=VARIANTS["soft"]), tmp_path / "few", progress=False)
    other = comparison(soft=VARIANTS["soft"])
    other.training.steps = 13
    with pytest.raises(RunError, match=r"training\.steps was 12 and is 13"):
        run_comparison(other, tmp_path / "few", resume=True, progress=False)


@pytest.mark.parametrize("name", ["teacher", "a/b", "", "..", "checkpoints"])
def test_names_that_cannot_be_folders(name: str) -> None:
    with pytest.raises(RecipeError, match="it names a folder"):
        comparison(**{name: ["soft_targets"]})


def test_a_variant_without_terms() -> None:
    with pytest.raises(RecipeError, match="has no terms"):
        comparison(empty=[])


def test_a_variant_that_does_not_fit_is_found_before_the_teacher_is_trained(tmp_path: Path) -> None:
    unfit = comparison(soft=VARIANTS["soft"], hint=["hard_targets", {"hint": {"student": "layer9", "teacher": "layer9"}}])
    with pytest.raises(ValueError, match=r"variant hint: .*layer9"):
        run_comparison(unfit, tmp_path / "few", progress=False)
    assert not (tmp_path / "few").exists()


def test_what_is_the_same_for_all_variants_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {f"soft-{weight}": [{"soft_targets": {"weight": weight}}] for weight in range(1, 9)}
    looked: list[object] = []
    monkeypatch.setattr(Classification, "check", lambda *given: looked.append(given))
    monkeypatch.setattr(comparisons, "_prepare_folder", lambda *_, **__: pytest.fail("all variants fit"))
    with pytest.raises(ValueError, match=r"variant wrong: .*nowhere"):
        run_comparison(comparison(**many, wrong=[{"hint": {"student": "nowhere"}}]), tmp_path / "few", progress=False)
    sides, data = ("student", "teacher"), ("training data", "validation data", "test data")
    pairs = [(given[3], given[4]) for given in looked]  # type: ignore[index]
    assert set(pairs) == {(side, name) for side in sides for name in data}
    assert len(pairs) <= 3 * len(set(pairs))  # for terms that need labels, that compare predictions, and that do neither
