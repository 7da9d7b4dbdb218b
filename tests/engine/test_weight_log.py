"""Weights of items in the log, and weighers with state and parameters in checkpoints."""

from __future__ import annotations

import json

import pytest
import torch

from limbeck import Run, Settings, Stage, Term, Update, frozen, objectives, steps, trained
from limbeck.core.batch import Batch
from limbeck.core.source import Source
from limbeck.core.weighers import Weigher

GENERATOR = torch.Generator().manual_seed(0)
X, Y = torch.randn(40, 8, 3, generator=GENERATOR), torch.randint(4, (40, 8), generator=GENERATOR)


class Points(Source):
    """Batch i is rows i of X and Y."""

    steps_per_epoch = 40

    def batch(self, position):
        return Batch({"default": X[position.step % 40]}, target=Y[position.step % 40])


class Counting(Weigher):
    """The n-th batch has weight n: state that must survive a stop."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def weigh(self, signals, batch, student, progress):
        if self.training:
            self.count += 1
        return self.count.expand(batch.size)


def linear(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 4)


def run(folder, length, **settings):
    soft = objectives.get("soft_targets")
    terms = [
        Term(soft, teacher={"ensemble": {"of": "teachers.*", "by": "routing"}}, name="routed"),
        Term(objectives.get("hard_targets"), item_weight=Counting(), weight=0.01),
    ]
    actors = {"student": trained(linear(0)), "teachers.a": frozen(linear(1)), "teachers.b": frozen(linear(2))}
    stages = [Stage([Update(terms)], steps(length))]
    options = Settings(device="cpu", trackers=[], progress=False, log_every=5, **settings)
    return Run(actors, stages, source=Points(), folder=folder, settings=options)


def test_mean_and_spread_of_weights_are_logged(tmp_path):
    run(tmp_path, 10).fit()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, second = (line["weights"] for line in lines if "weights" in line)
    assert first["hard_targets.item_weight"] == pytest.approx({"mean": 3, "spread": 2**0.5})  # 1 to 5
    assert second["hard_targets.item_weight"] == pytest.approx({"mean": 8, "spread": 2**0.5})
    routed = [second[f"routed.teachers.{name}"]["mean"] for name in "ab"]
    assert sum(routed) == pytest.approx(1)
    assert routed[0] != pytest.approx(0.5)  # it has learned


def test_the_mean_weight_of_each_class_is_logged(tmp_path):
    terms = [Term(objectives.get("soft_targets"), teacher={"ensemble": {"of": "teachers.*", "by": "confidence"}})]
    actors = {"student": trained(linear(0)), "teachers.a": frozen(linear(1)), "teachers.b": frozen(linear(2))}
    options = Settings(device="cpu", trackers=[], progress=False, log_every=20)
    Run(actors, [Stage([Update(terms)], steps(40))], source=Points(), folder=tmp_path, settings=options).fit()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    first, second = (line["class_weights"] for line in lines if "class_weights" in line)
    a, b = (first[f"soft_targets.teachers.{name}"] for name in "ab")
    assert list(a) == ["0", "1", "2", "3"]
    assert all(a[label] + b[label] == pytest.approx(1) for label in a)
    counts = Y[:20].flatten().bincount(minlength=4) / 160
    (weights, _) = (line["weights"] for line in lines if "weights" in line)
    mean = sum(float(counts[int(label)]) * value for label, value in a.items())
    assert mean == pytest.approx(weights["soft_targets.teachers.a"]["mean"])
    assert second["soft_targets.teachers.a"] != a


def test_a_stopped_run_goes_on_with_state_and_parameters_of_weighers(tmp_path):
    whole = run(tmp_path / "whole", 10).fit()
    stopped = run(tmp_path / "stopped", 10, checkpoint_every=4)
    save, calls = stopped._save, []

    def save_and_stop():
        save()
        calls.append(stopped.clock.step)
        if len(calls) == 1:
            raise KeyboardInterrupt

    stopped._save = save_and_stop
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    assert calls == [4]
    resumed = run(tmp_path / "stopped", 10).fit(resume=True)
    for name, tensor in whole.updates[0].criterion.state_dict().items():
        assert torch.equal(tensor, resumed.updates[0].criterion.state_dict()[name]), name
    assert torch.equal(whole.actors["student"].model.weight, resumed.actors["student"].model.weight)
    assert whole.updates[0].criterion.terms[1].item_weight.count == 10


class Fading(Weigher):
    """Weight 1 in the first half of the stage, 0 in the second."""

    def weigh(self, signals, batch, student, progress):
        return torch.full((batch.size,), float(progress < 0.5))


def test_weights_that_all_become_zero_are_said_once(tmp_path):
    terms = [
        Term(objectives.get("hard_targets")),
        Term(objectives.get("soft_targets"), item_weight=Fading(), name="fading"),
    ]
    actors = {"student": trained(torch.nn.Linear(3, 4)), "teacher": frozen(torch.nn.Linear(3, 4))}
    settings = Settings(progress=False, device="cpu", log_every=5)
    job = Run(actors, [Stage([Update(terms)], steps(20))], source=Points(), settings=settings, folder=tmp_path / "run")
    with pytest.warns(UserWarning, match=r"term 'fading': its item_weight was 0 for every item .* up to step 15 of") as said:
        job.fit()
    assert sum("item_weight was 0" in str(one.message) for one in said) == 1


@pytest.mark.parametrize("balance", ["uncertainty", {"gradient_norm": {"every": 3}}])
def test_a_stopped_run_goes_on_with_its_balance_and_the_memory_of_its_teachers(tmp_path, balance):
    def job(folder, count=9, **options):
        torch.manual_seed(0)
        names = {f"teachers.{k}": frozen(torch.nn.Linear(3, 4)) for k in range(3)}
        terms = [
            Term(objectives.get("hard_targets")),
            Term(objectives.get("soft_targets"), teacher={"ensemble": {"of": "teachers.*", "by": "agreement"}}),
        ]
        stage = Stage([Update(terms, balance=balance)], steps(count))
        settings = Settings(progress=False, device="cpu", **options)
        return Run(
            {"student": trained(torch.nn.Linear(3, 4))} | names, [stage], source=Points(), settings=settings, folder=folder
        )

    whole = job(tmp_path / "whole").fit()
    stopped = job(tmp_path / "stopped", checkpoint_every=4)
    save = stopped._save

    def save_and_stop():
        save()
        raise KeyboardInterrupt

    stopped._save = save_and_stop
    with pytest.raises(KeyboardInterrupt):
        stopped.fit()
    resumed = job(tmp_path / "stopped").fit(resume=True)
    state = whole.updates[0].criterion.state_dict()
    assert {"balance.log_variances", "balance.factors"} & set(state)
    assert "teachers.1.by.distance" in state
    for name, tensor in state.items():
        assert torch.equal(tensor, resumed.updates[0].criterion.state_dict()[name]), name
    assert torch.equal(whole.actors["student"].model.weight, resumed.actors["student"].model.weight)
