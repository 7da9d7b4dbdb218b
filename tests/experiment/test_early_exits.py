"""Early exit as a result: its metric, its mean work, and the curve in the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import Distillation, Training, epochs, methods, models
from limbeck.data import load_items
from limbeck.engine import Settings
from limbeck.evaluation import Verdict
from limbeck.tasks import Classification


def test_the_verdict_has_the_curve_of_the_kept_network(tmp_path: Path) -> None:
    arguments: Any = methods.be_your_own_teacher(task=Classification(), threshold=0.3)
    network = {"model": "tiny_cnn", "args": {"width": 8, "size": 8, "channels": 1}}
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    job = Distillation(
        lambda: models.with_exits(network, ["layer1", "layer2"]),
        training=Training(epochs(6), 32, settings=settings),
        control=False,
        seeds=(0, 1),
        folder=tmp_path,
        **arguments,
    )
    job.fit(load_items("digits", split="train"))
    job.evaluate(load_items("digits", split="test"))
    verdict = Verdict.load(tmp_path)
    assert [result.early_exits is not None for result in verdict.results.values()] == [False, False, False, True]
    early = verdict.results["early"]
    curve = early.early_exits
    assert curve is not None
    assert curve.exits == ["exits.layer1", "exits.layer2", "student"]
    assert early.distilled.metric == pytest.approx(curve.chosen.metric)
    assert early.distilled.macs == round(curve.chosen.work * curve.plain_macs)
    for point, name in ((curve.points[0], "exits.layer1"), (curve.points[-1], "student")):
        assert verdict.results[name].distilled.metric == pytest.approx(point.metric)
    assert curve.plain_macs == verdict.results["student"].distilled.macs
    assert curve.macs[0] == verdict.results["exits.layer1"].distilled.macs
    assert curve.macs == sorted(curve.macs)
    assert curve.macs[-1] > curve.plain_macs
    assert sum(curve.chosen.shares) == pytest.approx(1)
    assert curve.chosen.shares[-1] < 1
