"""Class by class."""

from html import escape

from limbeck.evaluation import MetricInfo
from limbeck.evaluation.report.classes import class_name, classes

from ..conftest import CLASSES, make, with_result
from . import made


def test_least_kept_comes_first(rich):
    section = str(classes(rich))
    arms = rich.arms
    shares = [one / other for one, other in zip(arms["student"].per_class, arms["teacher"].per_class, strict=True)]
    names = [escape(rich.classes[at]) for at in sorted(range(len(shares)), key=shares.__getitem__)]
    places = [section.index(f'<th scope="row">{name}</th>') for name in names]
    assert places == sorted(places)


def test_of_many_classes_the_worst_are_drawn_and_all_are_listed():
    section = str(classes(made.verdict(60)))
    assert "The figure shows the 20 lowest of 60 classes" in section
    assert section.count('<th scope="row">') == 60


def test_without_a_teacher_there_is_no_retention(verdict):
    section = str(classes(make(teacher=None)))
    assert "Accuracy by class" in section
    assert "etention" not in section


def test_classes_without_items_or_names_and_metrics_without_classes():
    assert str(classes(make(classes=()))).count('<th scope="row">') == len(CLASSES)
    bare = make()
    some = bare.student.model_copy(update={"per_class": [None, 0.5, 1.0]})
    assert ">–<" in str(classes(with_result(bare, distilled=some)))
    none = bare.student.model_copy(update={"per_class": None})
    assert classes(with_result(bare, distilled=none)) is None


def test_a_class_is_told_by_accuracy_whatever_judges_all_of_them():
    found = make()
    judged = found.model_copy(update={"metric": MetricInfo(name="matthews", percent=False)})
    section = str(classes(judged))
    assert "accuracy by class" in section
    assert "accuracy, %" in section
    assert "matthews" not in section


def test_the_classes_that_are_named_have_the_retention_that_is_said():
    found = make(control=None)
    teacher = found.teacher.model_copy(update={"per_class": [0.5, 0.25, 0.0]})
    student = found.student.model_copy(update={"per_class": [0.25, 0.25, 0.75]})
    section = str(
        classes(with_result(found, distilled=student).model_copy(update={"teacher": teacher, "classes": ["a", "b", "c"]}))
    )
    assert "Retention is lowest for a (50.0 %) and highest for b (100.0 %)." in section  # of c nothing could be kept
    assert "Squares are the teacher, discs the student; retention is on the right." in section
    assert "Rings are the control, discs the student." in str(classes(make(teacher=None)))


def test_names_of_any_length_and_direction_are_shown_in_one_line():
    found = made.verdict(5, classes=["x" * 300, "a\nb\tc", "\u202eleft", "<script>alert(1)</script>", "\u200f"])
    assert [class_name(found, at) for at in range(6)] == [
        "x" * 59 + "…",
        "a b c",
        "left",
        "<script>alert(1)</script>",
        "4",
        "5",
    ]
    page = str(classes(found))
    assert "x" * 60 not in page
    assert "\u202e" not in page
    assert "<script>" not in page
