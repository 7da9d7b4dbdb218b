"""Caches of several frozen actors in one training."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch

from limbeck import Distillation, Ensemble, Term, frozen, objectives
from limbeck.data import Items
from limbeck.engine import Settings, epochs
from limbeck.engine.training import Training
from limbeck.teacher_cache import CacheConfig
from tests.experiment.test_cached_fields import Seen

COUNT = 32


def test_equal_teachers_share_a_cache_that_is_opened_once(tmp_path: Path) -> None:
    first, other = Seen(4), Seen(4)
    torch.nn.init.zeros_(other.linear.bias)
    twins = {"teachers.a": first, "teachers.b": copy.deepcopy(first), "teachers.c": other}
    actors = {name: frozen(model, cache=CacheConfig()) for name, model in twins.items()}
    terms = [Term(objectives.get("soft_targets"), teacher=Ensemble("teachers.*"))]
    settings = Settings(progress=False, trackers=(), log_every=100)
    training = Training(epochs(3), 16, settings=settings)
    job = Distillation(Seen(4), actors=actors, terms=terms, training=training, control=False, folder=tmp_path / "run")
    inputs = torch.randn(COUNT, 4, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*another process")
        job.fit(Items.from_tensors(inputs, torch.arange(COUNT) % 2))
    folders = job.cache_folders
    assert folders["teachers.a"] == folders["teachers.b"] != folders["teachers.c"]
    checked = max(model.items for model in (first, other))  # the checks run all teachers alike
    assert checked - twins["teachers.b"].items == COUNT  # its outputs were there already
