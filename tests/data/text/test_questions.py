"""Questions in SQuAD's columns, and misplaced answers."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import load_questions
from limbeck.data.text.questions import _nearest_occurrence

CONTEXT = "We keep data. We share data with partners."


def write(folder: Path, answers: list[Any] | None, **columns: list[Any]) -> Path:
    count = len(answers) if answers is not None else len(next(iter(columns.values())))
    base: dict[str, Any] = {"id": [f"q{row}" for row in range(count)], "question": ["What?"] * count}
    base["context"] = [CONTEXT] * count
    if answers is not None:
        cells = [cell if cell is None else dict(zip(("text", "answer_start"), cell, strict=True)) for cell in answers]
        kind = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])
        base["answers"] = pa.array(cells, kind)
    pq.write_table(pa.table({**base, **columns}), folder / "a.parquet")
    return folder / "a.parquet"


def test_questions_contexts_and_answers(tmp_path: Path) -> None:
    file = write(tmp_path, [(["data", "We"], [8, 14]), ([], []), None, (["We share"], [14])])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        questions = load_questions(file)
    assert len(questions) == 4
    assert questions.ids == ("q0", "q1", "q2", "q3")
    assert questions.answers == ((("data", 8), ("We", 14)), (), (), (("We share", 14),))
    assert questions.answer_texts == [["data", "We"], [], [], ["We share"]]
    assert (questions.moved, questions.lost) == (0, 0)
    part = questions.select([3, 0])
    assert part.ids == ("q3", "q0")
    assert part.answer_texts == [["We share"], ["data", "We"]]
    assert load_questions(tmp_path, split="a") == questions


def test_misplaced_answers_are_moved_or_left_out(tmp_path: Path) -> None:
    answers = [
        (["data"], [9]),  # one to the right of the first
        (["data"], [20]),  # nearer to the second
        (["money"], [3]),
        (["share", "money", "  "], [17, 0, 2]),
        (["keep"], [-4]),
        (["partners."], [10_000]),
    ]
    with pytest.warns(UserWarning, match="do not stand") as caught:
        questions = load_questions(write(tmp_path, answers))
    assert [str(one.message).partition(": ")[2] for one in caught] == [
        "7 answers do not stand in the context at their start (questions q0, q1, q2, …): 4 were moved to their nearest "
        "occurrence, 3 occur nowhere and were left out"
    ]
    assert (questions.moved, questions.lost) == (4, 3)
    starts = [[start for _, start in found] for found in questions.answers]
    assert starts == [[8], [23], [], [17], [3], [33]]


@settings(deadline=None)
@given(st.text("ab ", max_size=12), st.text("ab ", min_size=1, max_size=3), st.integers(-3, 15))
def test_nearest_occurrence(context: str, text: str, start: int) -> None:
    places = [place for place in range(len(context)) if context.startswith(text, place)]
    found = _nearest_occurrence(context, text, start)
    if not places or not text.strip():
        assert found is None
    else:
        assert found in places
        assert abs(found - start) == min(abs(place - start) for place in places)


def test_ids_and_answers_are_optional(tmp_path: Path) -> None:
    questions = load_questions(write(tmp_path, None, id=[7, 8], question=["a", ""], context=["", "b"]))
    assert questions.ids == ("7", "8")
    assert questions.contexts == ("", "b")
    assert questions.answer_texts == [[], []]
    pq.write_table(pa.table({"question": ["a"], "context": ["b"]}), tmp_path / "b.parquet")
    assert load_questions(tmp_path / "b.parquet").ids == ("0",)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"question": ["a"], "text": ["b"]}, r"no column 'context' among question, text; SQuAD has id, question, context"),
        ({"question": ["a", None], "context": ["b", "c"]}, "column 'question' has empty cells, the first in row 1 of 2"),
        (
            {"question": ["a"], "context": ["b"], "answers": ["c"]},
            r"column 'answers' holds string; expected a struct of the lists",
        ),
        (
            {"question": ["a"], "context": ["b"], "answers": [{"text": ["b"], "answer_start": [0, 1]}]},
            "row 0 has 1 answer texts and 2 starts; expected one each",
        ),
        ({"question": [], "context": []}, "the data set is empty"),
    ],
)
def test_wrong_columns_of_questions_are_refused(tmp_path: Path, columns: dict[str, list[Any]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        load_questions(tmp_path / "a.parquet")


def test_files_of_squad_are_read_as_they_are(tmp_path: Path) -> None:
    asked = [
        {"id": "a", "question": "What?", "answers": [{"text": "data", "answer_start": 8}, {"text": "We", "answer_start": 14}]},
        {"id": "b", "question": "Who?", "answers": [], "is_impossible": True},
    ]
    file = tmp_path / "dev.json"
    layout = {"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": CONTEXT, "qas": asked}]}]}
    file.write_text(json.dumps(layout, indent=1))
    questions = load_questions(file)
    assert questions.ids == ("a", "b")
    assert questions.contexts == (CONTEXT, CONTEXT)
    assert questions.answers == ((("data", 8), ("We", 14)), ())
    assert load_questions(file, limit=1).ids == ("a",)
    del asked[1]["question"]
    file.write_text(json.dumps(layout))
    with pytest.raises(ValueError, match=r"a question lacks a part \('question'\); SQuAD's layout is"):
        load_questions(file)
    file.write_text('{"question": "What?", "context": "No data"}\n')
    assert load_questions(file).contexts == ("No data",)
