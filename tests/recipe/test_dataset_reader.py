"""Texts as the models of a recipe read them: a smaller vocabulary for the student."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from limbeck import runs
from limbeck.models import load_model
from limbeck.models.tokenizer import load_tokenizer
from limbeck.recipe import Federation, Recipe, RecipeError
from tests.recipe.texts import quick


def test_a_student_keeps_the_words_of_the_training_texts(place: Path, tmp_path: Path) -> None:
    wanted = quick(place, student={"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": True})
    everything, seen, _, test = wanted.load()
    assert seen is everything
    words = wanted.reader.vocabulary
    assert words is not None
    whole = load_tokenizer(str(place / "teacher"))
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    student = load_model(tmp_path / "run" / "student")
    assert student.config.vocab_size == len(words.rows) <= len(whole)
    own = load_tokenizer(str(tmp_path / "run" / "student"))
    assert own.tokenize("the film was great") == whole.tokenize("the film was great")
    moved = tmp_path / "moved.parquet"
    shutil.copy(place / "test.parquet", moved)
    told = runs.evaluate_run(tmp_path / "run", str(moved)).as_json()  # by the student's own tokenizer
    assert told["accuracy"] == pytest.approx(verdict.student.metric)
    assert len(test) == told["items"]


@pytest.mark.parametrize(("share", "count"), [(0.001, 0), (0.999, 96)])
def test_a_share_that_leaves_no_items_is_named(share: float, count: int) -> None:
    data = {"train": {"path": "digits", "split": "train", "limit": 96}, "test": "digits", "validation": share}
    wanted = Recipe.from_dict({"name": "shares", "data": data, "student": {"model": "tiny_cnn"}, "method": "label_smoothing"})
    said = f"data.validation: a share of {share} of 96 items is {count} of them"
    with pytest.raises(RecipeError, match=said):
        wanted.load()
    federated = {"public": 0.2, "clients": 2}
    content = {"name": "shares", "data": data, "student": {"model": "tiny_cnn"}, "federated": federated}
    with pytest.raises(RecipeError, match=said):
        Federation.from_dict(content).simulated(0)
    content |= {"data": {**data, "validation": 0}, "federated": {**federated, "public": share}}
    with pytest.raises(RecipeError, match=said.replace("data.validation", "federated.public")):
        Federation.from_dict(content).simulated(0)


def test_a_vocabulary_has_no_more_than_its_size(place: Path, tmp_path: Path) -> None:
    student = {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": 20}
    wanted = quick(place, student=student)
    assert wanted.student.vocabulary is not None
    assert wanted.student.vocabulary.size == 20
    runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert load_model(tmp_path / "run" / "student").config.vocab_size == 20
