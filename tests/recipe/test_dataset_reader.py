"""Texts as the models of a recipe read them: a smaller vocabulary for the student."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from limbeck import runs
from limbeck.models import load_model
from limbeck.models.tokenizer import load_tokenizer
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


def test_a_vocabulary_has_no_more_than_its_size(place: Path, tmp_path: Path) -> None:
    student = {"from_teacher": {"init_from_teacher": {"layers": [0, 3]}}, "vocabulary": 20}
    wanted = quick(place, student=student)
    assert wanted.student.vocabulary is not None
    assert wanted.student.vocabulary.size == 20
    runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert load_model(tmp_path / "run" / "student").config.vocab_size == 20
