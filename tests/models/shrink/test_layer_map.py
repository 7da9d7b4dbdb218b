"""Which layer learns from which: the papers' own examples, the ranges, and what is refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.models.shrink import layer_map


@pytest.mark.parametrize(
    ("student", "teacher", "how", "expected"),
    [
        (4, 12, "uniform", [3, 6, 9, 12]),  # TinyBERT
        (5, 12, "uniform", [3, 5, 8, 10, 12]),  # 2.4, 4.8, 7.2, 9.6, 12 rounded up
        (4, 12, "auto", [3, 6, 9, 12]),
        (5, 12, "auto", [2, 5, 7, 10, 12]),  # 2.4, 4.8, 7.2, 9.6, 12 to the nearest
        (4, 6, "auto", [2, 3, 5, 6]),  # 1.5 and 4.5: the deeper one
        (4, 2, "auto", [1, 1, 2, 2]),  # 0.5, 1, 1.5, 2
        (5, 1, "auto", [1, 1, 1, 1, 1]),
        (3, 12, "last", [10, 11, 12]),
        (6, 12, "skip", [2, 4, 6, 8, 10]),  # PKD-skip
        (3, 12, "skip", [4, 8]),
        (2, 3, [1, 3], [1, 3]),
        (2, 3, (3, 3), [3, 3]),
    ],
)
def test_rules(student, teacher, how, expected):
    assert layer_map(student, teacher, how) == list(enumerate(expected, start=1))


@given(st.integers(1, 40), st.integers(0, 40), st.sampled_from(["uniform", "auto", "last"]))
def test_rules_ascend_and_the_last_layers_meet(student, more, how):
    teacher = student + more
    layers = [layer for _, layer in layer_map(student, teacher, how)]
    assert layers == sorted(set(layers))
    assert layers[0] >= 1
    assert layers[-1] == teacher


@given(st.integers(1, 40), st.integers(1, 40))
def test_auto_takes_the_layer_at_the_nearest_relative_depth(student, teacher):
    pairs = layer_map(student, teacher, "auto")
    assert pairs[-1] == (student, teacher)
    for ours, theirs in pairs:
        away = {layer: abs(Fraction(layer, teacher) - Fraction(ours, student)) for layer in range(1, teacher + 1)}
        assert theirs == max(layer for layer in away if away[layer] == min(away.values()))
    if teacher % student == 0:
        assert pairs == layer_map(student, teacher, "uniform")


@pytest.mark.parametrize(
    ("student", "teacher", "how", "message"),
    [
        (0, 3, "uniform", "student_layers=0, teacher_layers=3"),
        (4, 3, "last", "student_layers=4, teacher_layers=3"),
        (0, 3, "auto", "student_layers=0, teacher_layers=3"),
        (1, 3, "skip", "its only one"),
        (2, 3, "first", "how='first': use 'uniform', 'auto', 'last', 'skip' or one teacher layer for each"),
        (2, 3, [1], "names 1 layers; the student has 2 layers and the teacher has 3"),
        (2, 3, [1, 4], "no layer 4; the student has 2 layers and the teacher has 3"),
        (2, 3, [0, 3], "no layer 0"),
    ],
)
def test_refusals(student, teacher, how, message):
    with pytest.raises(ValueError, match=message):
        layer_map(student, teacher, how)
