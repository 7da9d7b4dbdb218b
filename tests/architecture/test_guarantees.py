"""What the engine guarantees, whatever the method."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from limbeck.core.actors import average, frozen, snapshot, trained
from limbeck.core.terms import Term
from limbeck.engine import (
    DeadTermError,
    Freeze,
    NonFiniteError,
    Optimizer,
    Run,
    Settings,
    Snapshot,
    Stage,
    Update,
    Validation,
    epochs,
    steps,
)
from limbeck.objectives import HardTargets, Hint, SoftTargets
from tests.architecture.conftest import Blobs, net, same, state

QUIET = Settings(progress=False, device="cpu")
SGD = Optimizer("sgd", lr=0.05)


def test_a_term_that_compares_a_model_with_itself_is_refused_and_warned_of(blobs: Blobs) -> None:
    model = net(8, norm=False)
    terms = [Term(HardTargets()), Term(SoftTargets(), student="student", teacher="student")]
    one = Run(
        {"student": trained(model)},
        [Stage([Update(terms)], steps(3), SGD)],
        source=blobs,
        settings=QUIET,
    )
    with pytest.warns(UserWarning, match="same signal"), pytest.raises(DeadTermError, match=r"soft_targets.*gradient is zero"):
        one.fit()


def test_a_term_on_a_tap_that_is_cut_from_the_graph_is_dead(blobs: Blobs) -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.cut, self.head = nn.Linear(6, 8), nn.Identity(), nn.Linear(8, 4)

        def forward(self, x):
            hidden = self.body(x)
            self.cut(hidden.detach())
            return self.head(hidden)

    terms = [Term(HardTargets()), Term(Hint(), student="cut", teacher="0")]
    one = Run(
        {"student": trained(Cut()), "teacher": frozen(net(8))},
        [Stage([Update(terms)], steps(1), SGD)],
        source=blobs,
        settings=QUIET,
    )
    with pytest.raises(DeadTermError, match=r"hint.*no path"):
        one.fit()


def test_a_term_about_an_actor_that_nobody_trains_is_dead(blobs: Blobs) -> None:
    actors = {"student": trained(net(8)), "other": trained(net(8, seed=3))}
    stage = Stage([Update([Term(HardTargets()), Term(HardTargets(), student="other")])], steps(1), SGD)
    with pytest.raises(DeadTermError, match="trains nothing"):
        Run(actors, [stage], source=blobs, settings=QUIET).fit()


def test_an_average_that_starts_equal_may_be_zero_at_first(blobs: Blobs) -> None:
    s = net(8)
    terms = [Term(HardTargets()), Term(SoftTargets(temperature=1), teacher="mean")]
    Run(
        {"student": trained(s), "mean": average("student", 0.9)},
        [Stage([Update(terms)], steps(20), SGD)],
        source=blobs,
        settings=QUIET,
    ).fit()


def test_the_average_follows_exactly(blobs: Blobs) -> None:
    s = net(8, norm=False)
    one = Run(
        {"student": trained(s), "mean": average("student", 0.5)},
        [Stage([Update([Term(HardTargets())])], steps(1), SGD)],
        source=blobs,
        settings=QUIET,
    )
    start = state(s)
    one.fit()
    for name, value in one.actors["mean"].model.state_dict().items():
        torch.testing.assert_close(value, (start[name] + s.state_dict()[name]) / 2)


def test_selection_reads_validation_only(blobs: Blobs) -> None:
    seen: list[float] = []
    scores = iter([0.2, 0.9, 0.5])

    def evaluate(model: nn.Module) -> dict[str, float]:
        assert not model.training
        seen.append(float(next(model.parameters()).sum()))
        return {"accuracy": next(scores)}

    s = net(8)
    one = Run(
        {"student": trained(s)},
        [Stage([Update([Term(HardTargets())])], epochs(3), SGD)],
        source=blobs,
        settings=QUIET,
        validation=Validation(evaluate),
    )
    one.fit()
    assert float(next(one.load_best().parameters()).detach().sum()) == seen[1]


def test_patience_stops_early(blobs: Blobs) -> None:
    one = Run(
        {"student": trained(net(8))},
        [Stage([Update([Term(HardTargets())])], epochs(50), SGD)],
        source=blobs,
        settings=QUIET,
        validation=Validation(lambda model: {"accuracy": 0.5}, patience=3),
    ).fit()
    assert one.clock.updates == 4 * blobs.steps_per_epoch


def test_a_loss_that_is_no_number_names_step_and_term(blobs: Blobs) -> None:
    s = net(8)
    one = Run(
        {"student": trained(s)},
        [Stage([Update([Term(HardTargets())])], steps(50), Optimizer("sgd", lr=1e18))],
        source=blobs,
        settings=QUIET,
    )
    with pytest.raises(NonFiniteError, match=r"hard_targets.* step \d+"):
        one.fit()


def test_a_teacher_that_returns_nan_is_named(blobs: Blobs) -> None:
    t = net(16)
    with torch.no_grad():
        t[3].bias[0] = float("nan")
    one = Run(
        {"student": trained(net(8)), "teacher": frozen(t)},
        [Stage([Update([Term(SoftTargets())])], steps(1), SGD)],
        source=blobs,
        settings=QUIET,
    )
    with pytest.raises(ValueError, match=r"soft_targets.*teacher.*NaN"):
        one.fit()


def test_frozen_parts_and_snapshots(blobs: Blobs) -> None:
    s = net(8)
    first = state(s)
    terms = [Term(HardTargets()), Term(SoftTargets(), teacher="past")]
    stages = [
        Stage([Update([Term(HardTargets())])], steps(10), SGD, on_exit=[Snapshot("past"), Freeze("student", ("0",))]),
        Stage([Update(terms)], steps(10), SGD),
    ]
    one = Run({"student": trained(s), "past": snapshot("student")}, stages, source=blobs, settings=QUIET)
    one.fit()
    past = one.actors["past"].model.state_dict()
    assert not torch.equal(first["0.weight"], past["0.weight"])
    assert torch.equal(s.state_dict()["0.weight"], past["0.weight"])
    assert not torch.equal(s.state_dict()["3.weight"], past["3.weight"])


def test_class_counts_that_differ_are_refused_before_training(blobs: Blobs) -> None:
    one = Run(
        {"student": trained(net(8)), "teacher": frozen(net(8, classes=5))},
        [Stage([Update([Term(SoftTargets())])], steps(1))],
        source=blobs,
        settings=QUIET,
    )
    with pytest.raises(ValueError, match="4 classes and the teacher 5"):
        one.fit()


def test_gradient_accumulation_keeps_the_scale() -> None:
    models = []
    for pieces in (1, 4):
        s, t = net(8, norm=False), net(16, norm=False)
        terms = [Term(HardTargets()), Term(SoftTargets()), Term(Hint(), student="0", teacher="0", weight=0.5)]
        settings = Settings(progress=False, device="cpu", accumulate=pieces)
        Run(
            {"student": trained(s), "teacher": frozen(t)},
            [Stage([Update(terms)], steps(20), SGD)],
            source=Blobs(),
            settings=settings,
        ).fit()
        models.append(s)
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_adapters_are_trained(blobs: Blobs) -> None:
    terms = [Term(HardTargets()), Term(Hint(), student="0", teacher="0")]
    one = Run(
        {"student": trained(net(8)), "teacher": frozen(net(16))},
        [Stage([Update(terms)], steps(5), SGD)],
        source=blobs,
        settings=QUIET,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.fit()
    criterion = one.updates[0].criterion
    assert sum(p.numel() for p in criterion.parameters()) == 8 * 16 + 16
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in criterion.parameters())


@pytest.mark.parametrize("stop", [1, 7, 16, 23])
def test_resumption_is_bit_identical(tmp_path, blobs: Blobs, stop: int) -> None:
    def make(folder):
        s, t = net(8), net(16)
        s.insert(3, nn.Dropout(0.3))
        terms = [Term(HardTargets()), Term(SoftTargets()), Term(Hint(), student="0", teacher="0")]
        settings = Settings(progress=False, device="cpu", checkpoint_every=1, trackers=())
        stages = [Stage([Update(terms)], epochs(1), Optimizer("adamw", lr=1e-2)), Stage([Update(terms[:2])], epochs(1), SGD)]
        actors = {"student": trained(s), "teacher": frozen(t), "mean": average("student", 0.9)}
        return Run(actors, stages, source=blobs, settings=settings, folder=folder)

    whole = make(tmp_path / "whole").fit()
    broken = make(tmp_path / "broken")
    original, done = broken._run_step, []

    def failing(*arguments):
        if len(done) == stop:
            raise RuntimeError("power cut")
        done.append(1)
        return original(*arguments)

    broken._run_step = failing
    with pytest.raises(RuntimeError, match="power cut"):
        broken.fit()
    resumed = make(tmp_path / "broken").fit(resume=True)
    assert resumed.clock.updates == 32
    for name in ("student", "mean"):
        assert same(state(whole.actors[name].model), resumed.actors[name].model)
