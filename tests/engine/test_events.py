"""Events at the borders of stages."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.actors import Actors, snapshot, trained
from limbeck.core.terms import Term
from limbeck.engine import LearningRateScale, Optimizer, Reinitialise, Run, Snapshot, Stage, Update, steps
from limbeck.engine.events import apply_events
from limbeck.engine.freezing import TrainableParameters
from limbeck.objectives import HardTargets, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state
from tests.engine.training_runs import accuracy, quiet


def test_born_again_generations() -> None:
    student = net(8)
    first = state(student)
    actors = {"student": trained(student, factory=lambda: net(8, seed=77)), "teacher": snapshot("student")}
    hard, soft = Term(HardTargets()), Term(SoftTargets(temperature=1))
    stages = [
        Stage([Update([hard])], steps(30), Optimizer("sgd", lr=0.1), on_exit=[Snapshot("teacher"), Reinitialise("student")]),
        Stage([Update([Term(HardTargets()), soft])], steps(1), Optimizer("sgd", lr=0.0)),
    ]
    run = Run(actors, stages, source=Blobs(), settings=quiet()).fit()
    assert accuracy(run.actors["teacher"].model) > 0.7
    reborn = {n: t for n, t in state(student).items() if "running" not in n and "num_batches" not in n}
    fresh = net(8, seed=77).state_dict()
    assert all(torch.equal(t, fresh[n]) for n, t in reborn.items())
    assert not same(first, student)


def test_new_weights_depend_on_seed_and_stage_only() -> None:
    drawn = []
    for seed, number in ((0, 1), (0, 1), (0, 2), (1, 1)):
        model = net(8)
        actors = Actors({"student": trained(model)})
        apply_events([Reinitialise("student")], actors, TrainableParameters(actors), seed=seed, number=number)
        drawn.append(state(model))
    weights = [each["0.weight"] for each in drawn]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])
    assert not weights[0].equal(weights[3])


def test_events_that_cannot_be_are_refused() -> None:
    actors = Actors({"student": trained(net(8))})
    with pytest.raises(ValueError, match=r"Snapshot\('student'\): this actor copies no other; make it snapshot"):
        apply_events([Snapshot("student")], actors, TrainableParameters(actors), seed=0, number=0)
    with pytest.raises(ValueError, match="factor is 0; expected a number above 0"):
        LearningRateScale("student", factor=0)
