"""Classes of two data sets are matched by name, and numbers by the value of names."""

from __future__ import annotations

import pytest
import torch

from limbeck.data import Items
from limbeck.data.class_names import match_classes, numbers_of, positions_in, suspicious_names

FOLDERS = sorted(map(str, range(12)))  # as image folders are numbered: 0, 1, 10, 11, 2 …


def items(target: list[int], names: list[str] | None = None, classes: int | None = None) -> Items:
    return Items.from_tensors(torch.rand(len(target), 3), torch.tensor(target), class_names=names, classes=classes)


def test_names_are_compared_without_case_and_spaces() -> None:
    assert positions_in([" positive", "Negative "], ["negative", "Positive", "neutral"]) == [1, 0]
    assert positions_in(["very  good"], ["Very Good"]) == [0]
    assert positions_in(["007"], ["6", "7"]) == [1]
    assert positions_in(["a", "A"], ["A", "a"]) == [1, 0]  # names that differ in case only are taken as they are
    assert positions_in(["a", "A"], ["A", "b"]) == [None, 0]
    assert positions_in(["STRASSE"], ["straße"]) == [0]


def test_names_in_two_spellings_and_words_for_empty_cells_are_suspicious() -> None:
    assert suspicious_names(["cat", "dog", "none"]) == []
    (alike,) = suspicious_names(["Positive", " positive", "negative"])
    assert alike.startswith("the classes 'Positive' and ' positive' differ in case, spaces or leading zeros only")
    (missing,) = suspicious_names(["NaN", "cat", "null"])
    assert missing.startswith("'NaN', 'null' is a class of its own; leave the cell empty")


def test_numeric_names_and_numbers_are_matched_by_value() -> None:
    target = list(range(12))
    aligned = items(target).align_classes(FOLDERS, strict=True)
    assert [FOLDERS[at] for at in aligned.target.tolist()] == list(map(str, target))
    assert (aligned.class_names, aligned.classes) == (FOLDERS, 12)
    back = items(list(range(12)), FOLDERS).align_classes(None, strict=True)
    assert back.target.tolist() == list(map(int, FOLDERS))
    assert (back.class_names, back.classes) == (None, 12)


def test_unlabelled_items_and_missing_classes_stay_what_they_are() -> None:
    aligned = items([10, -100, 2]).align_classes(FOLDERS, strict=True)
    assert aligned.target.tolist() == [2, -100, 4]
    assert items([3, 5], classes=6).align_classes(["3", "5"], strict=True).target.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        (
            items([0, 1]),
            ["cat", "dog"],
            r"test: its classes are numbers, and those of the training data have names \(0: cat",
        ),
        (items([0, 1], ["cat", "dog"]), None, "test: its classes have names, and those of the training data are numbers"),
        (items([0, 9]), ["0", "1"], r"test: class 9 is none of the 2 of the training data"),
        (items([0, 1]), ["1", "01"], "whose order is unknown"),
        (items([0, 1], ["cat", "owl"]), ["cat", "dog"], "class 'owl' is none of the 2"),
    ],
)
def test_what_cannot_be_matched_is_refused(given: Items, names: list[str] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        given.align_classes(names, "test", strict=True)


def test_labels_that_are_no_classes_have_nothing_to_match() -> None:
    numbers = Items.from_tensors(torch.rand(2, 3), torch.tensor([0.5, 1.5]))
    assert numbers.align_classes(["cat"], strict=True) is numbers
    bare = Items.from_tensors(torch.rand(2, 3))
    assert bare.align_classes(["cat"], strict=True) is bare
    named = items([0, 1], ["cat", "dog"])
    assert named.align_classes(None) is named  # nothing is known of the other side


def test_several_labels_of_an_item() -> None:
    hot = Items.from_tensors(torch.rand(2, 3), torch.tensor([[1, 0], [-100, -100]]), classes=2, class_names=["B", "a"])
    assert hot.align_classes(["A", "b", "c"]).target.tolist() == [[0, 1, 0], [-100, -100, -100]]
    bare = Items.from_tensors(torch.rand(2, 3), torch.tensor([[1, 0], [0, 1]]), classes=2)
    assert bare.align_classes(["1", "0"], strict=True).target.tolist() == [[0, 1], [1, 0]]


def test_numbers() -> None:
    assert numbers_of([" 3", "0", "12"]) == [3, 0, 12]
    assert numbers_of(["3", "x"]) is numbers_of(["-1", "1"]) is numbers_of(["1", "01"]) is None
    assert match_classes(["2", "0"], [], None, "test", strict=True) == ([2, 0], 3, None)
