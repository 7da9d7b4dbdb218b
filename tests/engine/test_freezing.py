"""Which parameters are trained, and at which share of the learning rate."""

from __future__ import annotations

from limbeck.core.actors import Actors, trained
from limbeck.core.terms import Term
from limbeck.engine import Freeze, LearningRateScale, Optimizer, Run, Stage, Unfreeze, Update, steps
from limbeck.engine.freezing import TrainableParameters
from limbeck.engine.stages import Event
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs, net, state
from tests.engine.training_runs import quiet


def stage(*, on_enter: tuple[Event, ...] = (), on_exit: tuple[Event, ...] = ()) -> Stage:
    update = Update([Term(HardTargets())])
    return Stage([update], steps(2), Optimizer("sgd", lr=0.1), on_enter=on_enter, on_exit=on_exit)


def test_the_effect_of_earlier_stages_is_replayed() -> None:
    model = net(8)
    trainable = TrainableParameters(Actors({"student": trained(model)}))
    first = stage(on_enter=(Freeze("student"),), on_exit=(LearningRateScale("student", ("3",), 0.5),))
    second = stage(on_enter=(Unfreeze("student", ("3",)),), on_exit=(Unfreeze("student"),))
    trainable.replay([first], second)
    assert trainable.frozen == {id(p) for name, p in model.named_parameters() if not name.startswith("3")}
    assert trainable.lr_scale == dict.fromkeys(map(id, model[3].parameters()), 0.5)
    trainable.replay([], first)  # replaying starts from nothing
    assert trainable.frozen == set(map(id, model.parameters()))
    assert not trainable.lr_scale


def test_frozen_parts_keep_their_values_until_they_are_unfrozen() -> None:
    model, seen = net(8), []
    stages = [
        stage(on_enter=(Freeze("student", ("0",)),)),
        stage(),
        stage(on_enter=(Unfreeze("student"),)),
    ]
    for end in range(1, 4):
        model = net(8)
        Run({"student": trained(model)}, stages[:end], source=Blobs(), settings=quiet()).fit()
        seen.append(state(model))
    start = state(net(8))["0.weight"]
    assert start.equal(seen[0]["0.weight"])
    assert start.equal(seen[1]["0.weight"])
    assert not start.equal(seen[2]["0.weight"])
    assert not seen[0]["3.weight"].equal(seen[1]["3.weight"])
