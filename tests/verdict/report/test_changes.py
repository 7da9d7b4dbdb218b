"""What changed hands."""

import re

from limbeck.verdict.report.changes import changes

from . import made
from .html import Page


def test_quadrants_add_up_and_are_told_in_a_sentence(rich):
    section = str(changes(rich))
    alone = rich.changes["alone"]
    assert f"distillation mended {alone.student_only:,} and spoilt {alone.other_only:,}" in section
    assert f"Of {alone.total:,} answers" in section
    assert section.count("gained ·") == section.count("forgot ·") == 1


def test_items_with_pictures_answers_and_what_they_are_called(rich):
    section = str(changes(rich))
    assert section.count("<img ") == len(rich.examples)
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
    bare = [example.model_copy(update={"image": None, "input": "tensor [7]"}) for example in rich.examples]
    assert "tensor [7]" in str(changes(rich.model_copy(update={"examples": bare})))


def test_a_label_beyond_all_classes_is_its_number(rich):
    far = rich.examples[0].model_copy(update={"label": 10**15})
    assert str(10**15) in str(changes(rich.model_copy(update={"examples": [far]})))


def test_without_evidence_there_is_no_section(rich):
    section = changes(rich.model_copy(update={"changes": {}, "examples": []}))
    assert section is None or section.parts == []
