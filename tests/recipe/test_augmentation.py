"""Augmented copies of texts, for the student only."""

from __future__ import annotations

from pathlib import Path

from limbeck import runs
from tests.recipe.texts import cut, data, quick


def test_altered_copies_are_for_the_student_alone(place: Path, tmp_path: Path) -> None:
    augment = {"copies": 2, "minimum": -1, "cache": str(tmp_path / "altered")}
    wanted = quick(place, data=data(place, augment=augment), student=cut(place))
    everything, seen, _, _ = wanted.load()
    assert len(everything) == 400
    assert 400 < len(seen) <= 1200
    assert seen.target is not None
    assert everything.target is not None
    assert seen.target[: len(everything)].equal(everything.target)
    assert not seen.storage.input_names or seen.storage.aligned  # other words, but none that the student lacks
    assert len(list((tmp_path / "altered").iterdir())) == 1
    again = quick(place, data=data(place, augment=augment), student=cut(place)).load()[1]
    assert again.keys.equal(seen.keys)
    verdict = runs.run_recipe(wanted, tmp_path / "run", progress=False)
    assert verdict.cost is not None
    assert verdict.cost.student_steps == len(seen) // 32  # what is left over of an epoch is dropped
