"""What `limbeck profile` measures models on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck import models
from limbeck.data import AudioOptions
from limbeck.evaluation.model_cost import Latency, macs
from limbeck.export import costs


def test_networks_of_any_size_are_measured_on_the_spectrograms_of_their_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were measured on squares of the size that they are named with."""
    monkeypatch.setattr(costs, "peak_memory", lambda *_: 1)
    monkeypatch.setattr(costs, "latencies", lambda group, _: dict.fromkeys(group, Latency(median=1.0, p95=1.0)))
    network = models.get("tiny_cnn", classes=3, width=4, size=32, channels=1).eval()
    for name in ("student", "teacher"):
        models.save_model(network, None, tmp_path / name)
    paths = {name: tmp_path / name for name in ("teacher", "student")}
    square = costs.profile(paths)
    assert square["student"].macs == macs(network, torch.rand(1, 1, 32, 32))
    AudioOptions(n_mels=32, seconds=0.5, sample_rate=8000).save(tmp_path / "student")  # none beside a teacher
    found = costs.profile(paths)
    assert found["student"].macs == found["teacher"].macs == macs(network, torch.rand(1, 1, 32, 26))
