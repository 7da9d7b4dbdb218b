"""Sources that do not fit a run are refused before it starts."""

from __future__ import annotations

import pytest

from limbeck.core.terms import Term
from limbeck.data.sources import Generated
from limbeck.engine import Stage, Update, epochs, steps
from limbeck.engine.source_checks import check_sources
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs


def update(source=None) -> Update:
    return Update([Term(HardTargets())], source=source)


@pytest.mark.parametrize(
    ("stage", "source", "message"),
    [
        (
            Stage([update(Generated("generater"))], steps(1)),
            None,
            "stage 0: source Generated runs the actor 'generater'",
        ),
        (Stage([update()], steps(1), name="warm-up"), None, "stage 'warm-up': an update names no source"),
        (Stage([update(Generated("generator"))], epochs(2)), None, r"epochs is 2, but no source .* \(Generated\); give steps"),
        (Stage([update()], epochs(2)), Generated("generator"), "give steps instead"),
    ],
)
def test_unknown_actors_and_missing_lengths_are_refused(stage, source, message) -> None:
    with pytest.raises(ValueError, match=message):
        check_sources([stage], source, ["student", "generator"])


def test_the_nearest_actor_is_offered() -> None:
    with pytest.raises(ValueError, match="nearest: generator, "):
        check_sources([Stage([update(Generated("generater"))], steps(1))], None, ["student", "generator"])


def test_one_source_with_a_data_set_is_enough_for_epochs() -> None:
    check_sources([Stage([update(Generated("generator")), update(Blobs())], epochs(2))], None, ["generator"])
