"""Entities of tags: cases that are known, and agreement with a slow reference on random tags of every scheme."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from limbeck import metrics
from limbeck.metrics.entities import entity_counts, entity_types, find_entities, has_prefixes


@pytest.mark.parametrize(
    ("tags", "entities"),
    [
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("O I-PER I-PER O", [("PER", 1, 3)]),  # I- after O begins one
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),  # another type inside begins one
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),  # neighbours
        ("I-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),  # IOB1: B only between neighbours
        ("I-PER I-PER I-LOC", [("PER", 0, 2), ("LOC", 2, 3)]),
        ("S-PER B-LOC I-LOC E-LOC S-LOC", [("PER", 0, 1), ("LOC", 1, 4), ("LOC", 4, 5)]),
        ("B-PER E-PER I-PER E-PER", [("PER", 0, 2), ("PER", 2, 4)]),
        ("U-PER B-LOC I-LOC L-LOC", [("PER", 0, 1), ("LOC", 1, 4)]),
        ("O O", []),
        ("", []),
        ("B-A-B I-A-B", [("A-B", 0, 2)]),
    ],
)
def test_known_cases(tags: str, entities: list[tuple[str, int, int]]) -> None:
    assert find_entities(tags.split()) == entities


def test_tags_without_prefixes_are_types() -> None:
    assert not has_prefixes(["O", "PER", "LOC"])
    assert find_entities(["PER", "PER", "O", "LOC", "PER"], prefixed=False) == [("PER", 0, 2), ("LOC", 3, 4), ("PER", 4, 5)]
    assert entity_types(["O", "PER", "LOC"]) == ["LOC", "PER"]
    assert entity_types(["O", "B-PER", "I-PER", "B-LOC"]) == ["LOC", "PER"]


def slow_entities(tags: Sequence[str]) -> set[tuple[str, int, int]]:
    """Every stretch of words is tried: it is an entity if its words go on from each other and neither end does."""

    def goes_on(one: str, two: str) -> bool:
        if "O" in (one, two) or one[2:] != two[2:]:
            return False
        return one[0] in "BI" and two[0] in "IE"

    found = set()
    for start in range(len(tags)):
        for end in range(start + 1, len(tags) + 1):
            inside = all(goes_on(tags[at], tags[at + 1]) for at in range(start, end - 1))
            before = start == 0 or not goes_on(tags[start - 1], tags[start])
            after = end == len(tags) or not goes_on(tags[end - 1], tags[end])
            if tags[start] != "O" and inside and before and after:
                found.add((tags[start][2:], start, end))
    return found


@pytest.mark.parametrize("letters", ["I", "BI", "BIES"])
def test_random_tags_agree_with_the_slow_reference(letters: str) -> None:
    draw = random.Random(0)
    names = ["O", *(f"{letter}-{kind}" for letter in letters for kind in ("PER", "LOC"))]
    totals, rows = np.zeros(3), []
    for _ in range(300):
        ours, theirs = ([draw.choice(names) for _ in range(length)] for length in [draw.randrange(8)] * 2)
        one, two = slow_entities(ours), slow_entities(theirs)
        assert set(find_entities(ours)) == one
        totals += [len(one & two), len(one), len(two)]
        rows.append(entity_counts(ours, theirs, ["LOC", "PER"], True).sum(0))
    precision, recall = totals[0] / totals[1], totals[0] / totals[2]
    metric = metrics.get("entity_f1")
    outputs = np.concatenate([np.array(rows), np.zeros((300, 2))], 1)[None].astype(np.float32)
    assert metric.compute(outputs, np.zeros(300)) == pytest.approx([2 * precision * recall / (precision + recall)])


def test_no_entities_give_no_f1() -> None:
    assert metrics.get("entity_f1").compute(np.zeros((1, 2, 5), np.float32), np.zeros(2)) == [0.0]
