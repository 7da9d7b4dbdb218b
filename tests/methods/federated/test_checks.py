"""Which replies are left out, and that honest ones are not."""

from __future__ import annotations

import pytest
import torch

from limbeck.methods.federated import as_choices, left_out_by_consensus, left_out_by_norm, left_out_by_validation, reply_problem

EXPECTED = {"weight": torch.zeros(2, 3), "count": torch.tensor(0)}


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"weight": torch.ones(2, 3), "count": torch.tensor(4)}, None),
        ({"weight": torch.ones(2, 3)}, "array 'count' is missing"),
        ({**EXPECTED, "rows": torch.ones(5, 2)}, "array 'rows' is not expected"),
        ({**EXPECTED, "weight": torch.ones(3, 2)}, "array 'weight' has shape [3, 2]; expected [2, 3]"),
        ({**EXPECTED, "weight": torch.ones(2, 3).double()}, "array 'weight' has type torch.float64; expected torch.float32"),
        ({**EXPECTED, "weight": torch.full((2, 3), float("nan"))}, "array 'weight' holds NaN or infinity"),
        ({**EXPECTED, "weight": torch.full((2, 3), float("inf"))}, "array 'weight' holds NaN or infinity"),
    ],
)
def test_arrays_are_compared_with_what_is_expected(arrays, problem):
    assert reply_problem(arrays, EXPECTED) == problem


def updates(*scales: float) -> dict:
    old = {"w": torch.ones(10), "count": torch.tensor(3)}
    return {number: ({"w": old["w"] + scale * 0.1, "count": torch.tensor(9)}, old) for number, scale in enumerate(scales)}


def test_an_update_that_is_too_long_is_named():
    assert left_out_by_norm(updates(1, 1.5, 0.5, 1, 2), 4) == {}
    found = left_out_by_norm(updates(1, 1.5, 0.5, 1, -10), 4)
    assert list(found) == [4]
    assert "10.0 times as long as the median" in found[4]
    assert left_out_by_norm(updates(1, 100), 4) == {}  # of two nobody can say which is wrong
    assert left_out_by_norm(updates(0, 0, 0), 4) == {}


def test_a_model_worse_than_guessing_is_named_and_one_of_few_classes_is_not():
    right = {1: [True] * 60 + [False] * 440, 2: [True] * 5 + [False] * 495, 3: [True] * 400 + [False] * 100}
    found = left_out_by_validation(right, classes=10)
    assert list(found) == [2]
    assert "1.0% of the validation items, fewer than guessing (10.0%)" in found[2]
    assert left_out_by_validation({2: right[2]}, classes=10) == {}  # nobody would be left


def shares(*found: float) -> dict[int, list[bool]]:
    return {number: [True] * round(200 * share) + [False] * round(200 * (1 - share)) for number, share in enumerate(found)}


def test_a_model_far_below_the_others_is_named_where_these_are_alike():
    found = left_out_by_validation(shares(0.93, 0.93, 0.28, 0.88), classes=10)
    assert list(found) == [2]
    assert "28.0% of the validation items, far fewer than those of the other clients (median 90.5%)" in found[2]
    assert left_out_by_validation(shares(0.6, 0.2, 0.35, 0.1, 0.5), classes=10) == {}  # clients of few classes spread
    assert left_out_by_validation(shares(0.9, 0.9, 0.75), classes=10) == {}
    assert left_out_by_validation({}, classes=10) == {}


def says(classes: torch.Tensor, sure: float = 5.0) -> torch.Tensor:
    """Logits [N, 10] of a client that names these classes."""
    return sure * torch.nn.functional.one_hot(classes, 10).float()


def test_logits_that_contradict_the_others_are_named_and_those_of_few_classes_are_not():
    truth = torch.arange(400) % 10

    def few(*known: int) -> torch.Tensor:
        return says(torch.where(torch.isin(truth, torch.tensor(known)), truth, known[0]))

    honest = {1: few(*range(7)), 2: few(3, 4, 5, 6, 7, 8), 3: few(7, 8, 9, 0), 4: few(*range(2, 10)), 5: few(7), 6: says(truth)}
    assert left_out_by_consensus(honest) == {}
    for flipped in (9 - truth, (truth + 1) % 10):
        found = left_out_by_consensus({**honest, 7: says(flipped, sure=50.0)})
        assert list(found) == [7]
        assert "on 0.0% of the public items, fewer than by chance (10.0%)" in found[7]
    assert left_out_by_consensus({1: says(truth), 2: says(truth), 3: says(9 - truth)}) == {}  # of three nobody can say
    assert left_out_by_consensus({}) == {}


def test_logits_that_agree_far_less_than_those_of_clients_that_are_alike_are_named():
    truth = torch.arange(400) % 10
    alike = {number: says(torch.where(torch.arange(400) % (9 + number) == 0, 0, truth)) for number in range(4)}
    third = torch.where(torch.arange(400) % 3 == 0, truth, 9 - truth)  # flipped, after learning from the consensus
    found = left_out_by_consensus({**alike, 9: says(third)})
    assert list(found) == [9]
    assert "far fewer than the other clients do" in found[9]


def test_independent_labels_are_choices_between_no_and_yes():
    logits = torch.tensor([[2.0, -1.0, 0.5], [-3.0, 1.0, -0.5]])
    assert as_choices(logits, one_class=False).argmax(-1).tolist() == [1, 0, 1, 0, 1, 0]
    torch.testing.assert_close(as_choices(logits, one_class=False).softmax(-1)[:, 1], logits.sigmoid().flatten())
    assert torch.equal(as_choices(logits, one_class=True), logits)
