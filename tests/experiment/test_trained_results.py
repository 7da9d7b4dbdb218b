"""A further control is compared only in results that it trains: an exit without a term is as it was initialised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
    job.fit(load_items("digits", split="train"))
    job.evaluate(load_items("digits", split="test"))
    found = {name: set(result.controls) for name, result in Verdict.load(tmp_path).results.items()}
    assert found == {
        "student": {"plain", "first", "features"},
        "exit.layer1": {"first"},
        "exit.layer2": {"features"},
        "early": set(),
    }
    assert all(result.control is not None for result in Verdict.load(tmp_path).results.values())
