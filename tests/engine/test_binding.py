"""Updates with their criteria and optimizers."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.terms import Term
from limbeck.engine import Optimizer, Stage, Update, steps
from limbeck.engine.binding import BoundUpdate, bind_updates
from limbeck.objectives import HardTargets, Hint
from tests.architecture.conftest import Blobs, net


def bind(*updates: Update, source: Blobs | None = None) -> list[BoundUpdate]:
    actors = Actors({"a": trained(net(8)), "b": trained(net(8, seed=1)), "teacher": frozen(net(16))})
    stage = Stage(updates, steps(4), Optimizer("adam", lr=0.01))
    return bind_updates(stage, actors, source, {}, seed=0, number=0, device=torch.device("cpu"))


def test_updates_share_the_optimizer_of_an_actor() -> None:
    own = Optimizer("sgd", lr=0.1)
    first, second, third = bind(
        Update([Term(HardTargets(), student="a"), Term(Hint(), student="a:0", teacher="teacher:0")], trains=("a", "b")),
        Update([Term(HardTargets(), student="b")], trains="b"),
        Update([Term(HardTargets(), student="b")], trains="b", optimizer=own),
        source=Blobs(),
    )
    assert first.optimizers["b"] is second.optimizers["b"]
    assert isinstance(third.optimizers["b"], torch.optim.SGD)
    learned = {id(p) for p in first.criterion.parameters()}  # the adapter of the hint
    known = {id(p) for group in first.optimizers["a"].param_groups for p in group["params"]}
    assert learned
    assert known == learned | {id(p) for p in first.learners["a"]}


def test_the_state_of_an_update_comes_back() -> None:
    update = Update([Term(HardTargets(), student="a"), Term(Hint(), student="a:0", teacher="teacher:0")], trains="a")
    (one,), (other,) = bind(update, source=Blobs()), bind(update, source=Blobs())
    with torch.no_grad():
        for parameter in one.criterion.parameters():
            parameter.add_(1)
    one.check.left.clear()
    other.load_state_dict(one.state_dict())
    assert all(torch.equal(p, q) for p, q in zip(one.criterion.parameters(), other.criterion.parameters(), strict=True))
    assert not other.check


def test_an_update_without_a_source_is_refused() -> None:
    with pytest.raises(ValueError, match=r"names no source and the run has none; pass source=…"):
        bind(Update([Term(HardTargets(), student="a")], trains="a"))
