"""A further control is compared only in results that it trains: an exit without a term is as it was initialised."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from limbeck import Distillation, Term, Training, models, steps
from limbeck.core.teachers import EarlyExit
from limbeck.data import load_items
from limbeck.engine import Settings
from limbeck.evaluation import Verdict
from limbeck.objectives import HardTargets, Hint

EXITS = "student:exits.*"
NETWORK = {"model": "tiny_cnn", "args": {"width": 4, "size": 8, "channels": 1}}


def test_results_of_exits_have_the_controls_that_have_terms_on_them(tmp_path: Path) -> None:
    controls: dict[str, Any] = {
        "plain": {"terms": [Term(HardTargets())]},
        "first": {"terms": [Term(HardTargets()), Term(HardTargets(), student="student:exits.layer1")]},
        "features": {
            "terms": [Term(HardTargets()), Term(Hint(), student="student:exits.layer2.features", teacher="student:layer2")]
        },
    }
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    job = Distillation(
        lambda: models.with_exits(NETWORK, ["layer1", "layer2"]),
        terms=[Term(HardTargets()), Term(HardTargets(), student=EXITS)],
        evaluate={"student": "student", "exit": EXITS, "early": EarlyExit([EXITS, "student"])},
        controls=controls,
        training=Training(steps(2), 32, settings=settings),
        folder=tmp_path,
    )
    with pytest.warns(UserWarning, match="no term gives") as said:
        job.fit(load_items("digits", split="train"))
    named = [str(each.message) for each in said if "no term gives" in str(each.message)]
    assert len(named) == 1  # of `features`; exits that a control leaves out are compared nowhere
    assert re.search(r"no term gives exits\.layer2\.classifier\.weight, exits\.layer2\.classifier\.bias a gradient", named[0])
    job.evaluate(load_items("digits", split="test"))
    found = {name: set(result.controls) for name, result in Verdict.load(tmp_path).results.items()}
    assert found == {
        "student": {"plain", "first", "features"},
        "exit.layer1": {"first"},
        "exit.layer2": {"features"},
        "early": set(),
    }
    assert all(result.control is not None for result in Verdict.load(tmp_path).results.values())


def test_exits_that_are_compared_and_not_trained_are_named() -> None:
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    job = Distillation(
        lambda: models.with_exits(NETWORK, ["layer1"]),
        terms=[Term(HardTargets())],
        evaluate={"student": "student", "exit": EXITS},
        control=False,
        training=Training(steps(2), 32, settings=settings),
    )
    with pytest.warns(UserWarning, match=r"student: no term gives exits\.layer1\.features.* a gradient"):
        job.fit(load_items("digits", split="train"))
