"""Early exit as a result: its metric, its mean work, and the curve in the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import Distillation, Training, epochs, methods, models
from limbeck.core.early_exit_module import EarlyExitModule
from limbeck.data import load_items
from limbeck.engine import Settings
from limbeck.evaluation import Verdict
from limbeck.tasks import Classification


def distillation(folder: Path | None, **chosen: Any) -> Distillation:
    arguments: Any = methods.be_your_own_teacher(task=Classification(), **chosen)
    network = {"model": "tiny_cnn", "args": {"width": 8, "size": 8, "channels": 1}}
    settings = Settings(progress=False, device="cpu", threads=1, trackers=())
    return Distillation(
        lambda: models.with_exits(network, ["layer1", "layer2"]),
        training=Training(epochs(6), 32, settings=settings),
        control=False,
        seeds=(0, 1),
        folder=folder,
        **arguments,
    )


def test_the_verdict_has_the_curve_of_the_kept_network(tmp_path: Path) -> None:
    job = distillation(tmp_path, threshold=0.3)
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


def test_thresholds_within_a_tolerance_are_chosen_on_validation_data_and_kept(tmp_path: Path) -> None:
    job, train = distillation(tmp_path, tolerance=0.01), load_items("digits", split="train")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    validation = train.select(order[:300])
    job.fit(train.select(order[300:]), validation)
    job.evaluate(load_items("digits", split="test"))
    verdict = Verdict.load(tmp_path)
    curve = verdict.results["early"].early_exits
    assert curve is not None
    assert curve.threshold is None
    assert [len(each) for each in curve.thresholds] == [2, 2]
    assert curve.chosen is curve.own
    assert verdict.results["early"].distilled.metric == pytest.approx(curve.chosen.metric)
    assert curve.chosen.work < curve.points[-1].work
    for row, arm in enumerate(job.trained):  # each seed has its own, which lose no more than they may
        early, whole = (arm.models[name] for name in ("early", "student"))
        assert isinstance(early, EarlyExitModule)
        assert early.early_exit.threshold == curve.thresholds[row]
        right = [(Classification().outputs(model, validation).argmax(-1) == validation.target) for model in (early, whole)]
        assert float(right[0].float().mean()) >= float(right[1].float().mean()) - 0.01 - 1e-6
    loaded = models.load_model(tmp_path / "results" / "early" / "student")
    assert isinstance(loaded, EarlyExitModule)
    assert loaded.early_exit.threshold in curve.thresholds


def test_a_tolerance_without_validation_data_is_refused_before_the_training() -> None:
    train = load_items("digits", split="train")
    with pytest.raises(ValueError, match=r"evaluate.early: tolerance is 0.01, .* lacks; set data: {validation: 0.1}"):
        distillation(None, tolerance=0.01).check(train)
