"""The state of a run: what a checkpoint needs, and nothing of frozen models."""

from __future__ import annotations

import torch

from limbeck.engine.run_state import load_actors, load_updates, run_state
from tests.architecture.conftest import same, state
from tests.engine.training_runs import quiet, train


def test_a_state_brings_models_and_updates_back() -> None:
    run, other = (train(quiet(), count=count) for count in (6, 2))
    saved = run_state(run.clock, run.actors, run.updates, run.scaler)
    assert set(saved["actors"]) == {"student"}
    assert saved["clock"]["updates"] == 6
    assert not same(state(run.actors["student"].model), other.actors["student"].model)
    load_actors(saved, other.actors)
    load_updates(saved, other.updates, other.scaler)
    assert same(state(run.actors["student"].model), other.actors["student"].model)
    rates = [one.optimizers["student"].state_dict()["param_groups"] for one in (*run.updates, *other.updates)]
    assert rates[0] == rates[1]
    load_actors(None, other.actors)
    assert all(torch.isfinite(p).all() for p in other.actors["student"].model.parameters())
