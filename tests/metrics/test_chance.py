"""Classifiers that are no better than guessing."""

from __future__ import annotations

import pytest

from limbeck.metrics.chance import is_at_chance, wilson_interval


@pytest.mark.parametrize(
    ("right", "total", "expected"),  # from R: binom::binom.confint(method = "wilson")
    [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605))],
)
def test_wilsons_interval(right: int, total: int, expected: tuple[float, float]) -> None:
    assert wilson_interval(right, total) == pytest.approx(expected, abs=1e-4)


def test_better_than_guessing_depends_on_the_number_of_items() -> None:
    assert is_at_chance(53, 100, 0.5)
    assert not is_at_chance(530, 1000, 0.49)
    assert not is_at_chance(95, 100, 0.5)  # two classes
    assert is_at_chance(9, 10, 0.6)
    assert is_at_chance(0, 200, 0.1)  # worse than guessing is no better
    with pytest.raises(ValueError, match="3 of 2: expected 0 to 2 of at least one"):
        wilson_interval(3, 2)
