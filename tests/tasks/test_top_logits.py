"""The largest logits of many classes, against all logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from limbeck import metrics
from limbeck.data import Items
from limbeck.evaluation import Predictions, build_verdict, load_predictions, save_predictions
from limbeck.evaluation.verdict import MetricInfo
from limbeck.metrics import Measure, Metric, first_mean
from limbeck.tasks import Classification, top_logits
from limbeck.tasks.top_logits import KEPT, MANY_CLASSES, TopLogits

CLASSES, ITEMS, SEEDS = 400, 150, 2


def label_nats(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> NDArray[np.float64]:
    """A user's metric that reads a logit which may not be among the largest."""
    logarithms = torch.from_numpy(outputs).double().log_softmax(-1)
    return -np.take_along_axis(logarithms.numpy(), np.asarray(target, np.int64)[None, :, None], -1)


NATS = Metric("label_nats", label_nats, first_mean, higher_is_better=False, percent=False)
MEASURES = [*(metrics.get(name) for name in Classification.metrics), NATS]


def made(seed: int, scale: float = 3.0) -> tuple[list[Tensor], Tensor]:
    target = torch.randint(CLASSES, (ITEMS,), generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(seed + 1)
    logits = [scale * torch.randn(ITEMS, CLASSES, generator=generator) for _ in range(SEEDS)]
    for each in logits:
        each[torch.arange(ITEMS), target] += 4.0
    return logits, target


def kept(logits: list[Tensor], target: Tensor) -> Predictions:
    task, items = Classification(), Items.from_tensors(torch.zeros(ITEMS, 1), target, classes=CLASSES)
    return Predictions(**task.to_predictions([task.condense(each, items) for each in logits], items))


def whole(logits: list[Tensor], target: Tensor) -> Predictions:
    return Predictions(torch.stack(logits).numpy(), target.numpy())


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_logits, "BLOCK", 40 * CLASSES)


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_metrics_are_those_of_all_logits(measure: Measure) -> None:
    ours, theirs = kept(*made(0)), whole(*made(0))
    assert ours.logits is None
    assert ours.classes == theirs.classes == CLASSES
    found, expected = ours.item_statistics(measure), theirs.item_statistics(measure)
    if isinstance(measure, Metric):
        assert np.allclose(found, expected, atol=1e-5)
    else:
        assert all(np.array_equal(found.arrays[name], array) for name, array in expected.arrays.items())


def test_classes_and_probabilities_are_those_of_all_logits_before_and_after_a_file(tmp_path: Path) -> None:
    ours, theirs = kept(*made(1)), whole(*made(1))
    save_predictions({"student": ours, "control": kept(*made(2))}, tmp_path)
    for found, tolerance in ((ours, 1e-6), (load_predictions(tmp_path)["student"], 2e-4)):
        assert np.array_equal(found.choice(), theirs.choice())
        assert np.array_equal(found.correct(), theirs.correct())
        assert np.abs(found.confidence() - theirs.confidence()).max() < tolerance
    assert set(load_predictions(tmp_path)) == {"student", "control"}
    assert (tmp_path / "predictions.safetensors").stat().st_size < 2 * SEEDS * ITEMS * CLASSES / 2


def test_the_first_of_equal_logits_is_predicted() -> None:
    logits = torch.zeros(3, CLASSES)
    logits[1, 390:] = logits[2, 5] = logits[2, 300] = 2.0
    top = TopLogits.of(logits, torch.tensor([0, 1, 2]))
    assert top.choice.tolist() == [logits.argmax(-1).tolist()]
    assert np.allclose(top.confidence, logits.softmax(-1).amax(-1)[None])
    assert all(len(set(row)) == KEPT for row in top.classes[0].tolist())


def test_a_label_without_any_probability_and_a_sure_model_are_finite() -> None:
    logits = torch.full((2, CLASSES), -3e4)
    logits[:, 7] = 3e4
    top = TopLogits.of(logits, torch.tensor([7, 8]))
    (dense,) = top.dense(np.array([7, 8]))
    assert np.isfinite(dense).all()
    assert dense[0, 1, 8] == -6e4
    assert top.confidence.tolist() == [[1.0, 1.0]]


def test_the_verdict_is_that_of_all_logits() -> None:
    def verdict(of: object) -> dict[str, object]:
        arms = {arm: of(*made(seed, scale)) for seed, (arm, scale) in enumerate(scales.items(), 3)}  # type: ignore[operator]
        info = MetricInfo.of(metrics.get("accuracy"))
        built = build_verdict(arms, name="many", task="classification", metric=info, seeds=range(SEEDS))
        return built.model_dump(exclude={"environment"})

    scales = {"teacher": 1.0, "control": 2.5, "student": 1.5}
    assert_close(verdict(kept), verdict(whole))


def assert_close(found: object, expected: object) -> None:
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert_close(found[key], value)
    elif isinstance(expected, list | tuple):
        assert isinstance(found, list | tuple)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_close(ours, theirs)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-5)
    else:
        assert found == expected


def test_few_classes_keep_all_logits_and_what_is_not_finite_is_refused() -> None:
    task, target = Classification(), torch.zeros(4, dtype=torch.int64)
    items = Items.from_tensors(torch.zeros(4, 1), target, classes=MANY_CLASSES)
    few = torch.zeros(4, MANY_CLASSES)
    assert task.condense(few, items) is few
    with pytest.raises(ValueError, match="NaN or infinity; the training diverged"):
        task.condense(torch.full((4, MANY_CLASSES + 1), torch.nan), items)
