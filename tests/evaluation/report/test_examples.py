"""Galleries of examples: pictures, numbers, questions and neighbours, inert whatever they hold."""

import re

from limbeck.evaluation import Example, ItemPrediction
from limbeck.evaluation.report.changes import changes

from ..conftest import with_result
from . import made
from .html import Page


def test_items_with_pictures_answers_and_what_they_are_called(rich):
    section = str(changes(rich))
    assert section.count("<img ") == len(rich.result.examples)
    alternatives = re.findall(r'alt="([^"]*)"', section)
    assert all(found.startswith("Test item ") for found in alternatives)
    assert "Where student and teacher disagree" in section
    assert "3 of 3 seeds" in section


def test_texts_stand_as_texts_and_stay_texts():
    section = str(changes(made.verdict(5, made.texts(600))))
    assert "&lt;script&gt;alert(&#x27;" in section
    assert "script" not in Page(section).tags
    assert "<img" not in section


def test_items_of_no_look_are_named(rich):
    bare = [example.model_copy(update={"image": None, "input": "tensor [7]"}) for example in rich.result.examples]
    assert "tensor [7]" in str(changes(with_result(rich, examples=bare)))


def test_a_label_beyond_all_classes_is_its_number(rich):
    far = rich.result.examples[0].model_copy(update={"label": 10**15})
    assert str(10**15) in str(changes(with_result(rich, examples=[far])))


def example(**fields):
    return Example(**{"kind": "disagreement", "item": 3, "seed": 0, "seeds": 1, "text": "a <script>x</script> b"} | fields)


def shown(rich, task, *examples):
    found = with_result(rich, changes={}, examples=list(examples)).model_copy(update={"task": task, "classes": []})
    return str(changes(found))


def test_numbers_stand_beside_the_label_with_their_distance(rich):
    answers = {"teacher": ItemPrediction(value=2.5), "student": ItemPrediction(value=-1.25)}
    section = shown(rich, "regression", example(value=2.0, predictions=answers))
    words = Page(section).text
    assert "label 2 " in words
    assert "teacher 2.5 +0.50" in words
    assert "student −1.25 −3.25" in words
    assert "%" not in words
    assert "The largest differences first" in words


def test_questions_show_the_marked_answer_and_what_each_said(rich):
    text = "x <b>in</b> Lyon <script>"
    answers = {
        "teacher": ItemPrediction(text="Lyon", confidence=0.9, score=1),
        "control": ItemPrediction(text="<script>alert(1)</script>", confidence=0.25, score=0),
        "student": ItemPrediction(text="in Lyon", confidence=0.5, score=0.67),
    }
    span = (text.index("Lyon"), text.index("Lyon") + 4)
    one = example(text=text, span=span, truth="Lyon & more", question="where <i>?", predictions=answers)
    section = shown(rich, "question_answering", one)
    page = Page(section)
    assert not page.tags & {"script", "b", "i"}
    assert "<mark>Lyon</mark>" in section
    assert "where <i>? x <b>in</b> Lyon <script>" in page.text.replace("  ", " ")
    assert "true Lyon & more" in page.text
    assert "teacher ✓ Lyon 90 %" in page.text
    assert "control ✗ <script>alert(1)</script> 25 %" in page.text
    assert "student ≈ in Lyon 50 %" in page.text
    assert "question 3" in page.text


def test_neighbours_are_neither_right_nor_wrong(rich):
    answers = {"teacher": ItemPrediction(text="near <script>", score=1), "student": ItemPrediction(text="far", score=0.4)}
    section = shown(rich, "sentence_embeddings", example(predictions=answers))
    page = Page(section)
    assert "script" not in page.tags
    assert "teacher near <script> 100 %" in page.text
    assert "student far 40 %" in page.text
    assert "✓" not in page.text
    assert "✗" not in page.text
    assert "share of the teacher's ten nearest" in page.text


def test_a_place_beyond_the_text_marks_nothing(rich):
    answers = {"student": ItemPrediction(text="", confidence=0.5, score=0)}
    section = shown(rich, "question_answering", example(truth="x", span=(900, 950), predictions=answers))
    assert "<mark></mark>" in section
    assert "✗ (nothing)" in Page(section).text


def test_an_empty_text_is_told_from_one_that_is_not_shown(rich):
    answers = {"teacher": ItemPrediction(value=2.5), "student": ItemPrediction(value=-1.25)}
    for text in ("", " \n"):
        assert "(empty)" in Page(shown(rich, "regression", example(value=2.0, text=text, predictions=answers))).text
