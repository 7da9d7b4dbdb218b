"""Which tokenizer each model reads with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recipe.texts import quick
from tests.runs.test_text_runs import teacher

transformers = pytest.importorskip("transformers")


def test_a_student_by_another_name_reads_by_its_own_tokenizer(place: Path, tmp_path: Path) -> None:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "great", "film", "the"]
    teacher(tmp_path / "other", words, transformers.BertForSequenceClassification, layers=1, hidden=16, tokens=32)
    named = {"model": "transformers", "args": {"name_or_path": str(tmp_path / "other")}}
    items = quick(place, student=named).items(quick(place).data.test)
    assert items.storage.input_names == ("student", "teacher")
    same = quick(place, student={"model": "transformers", "args": {"name_or_path": str(place / "teacher")}})
    assert same.items(same.data.test).storage.input_names == ()
