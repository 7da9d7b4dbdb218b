"""`kill -9` at random moments: what comes out must be what a quiet run gives, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.resume import finish, interrupted, outcome


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder = tmp_path_factory.mktemp("quiet") / "run"
    finish(folder)  # the first one also pays for the imports
    again = tmp_path_factory.mktemp("again") / "run"
    lasts = finish(again)
    assert outcome(again) == outcome(folder)  # a run is a function of its recipe
    return folder, lasts


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_run_ends_as_a_quiet_one(quiet: tuple[Path, float], tmp_path: Path, seed: int) -> None:
    folder, lasts = quiet
    draw = random.Random(seed)
    for share in (0.5, 0.25, 0.1):  # a machine that has become faster meanwhile is through before the kills come
        killed = tmp_path / f"run-{share}"
        met = interrupted(killed, [draw.uniform(0, share * lasts) for _ in range(3)])
        if met >= 2:
            break
    else:
        pytest.fail("the kills came too late to test anything")
    expected, found = outcome(folder), outcome(killed)
    for part in expected:
        assert found[part] == expected[part], part


def test_a_finished_run_is_judged_again_but_not_trained(quiet: tuple[Path, float]) -> None:
    folder, _ = quiet
    expected = outcome(folder)
    marks = {path: path.stat().st_mtime_ns for path in folder.glob("checkpoints/**/*.safetensors")}
    finish(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("checkpoints/**/*.safetensors")} == marks
    assert outcome(folder) == expected
