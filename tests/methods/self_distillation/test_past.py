"""Methods whose teacher is the student's past: of the last epoch, of the last batch, its average, an earlier generation."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import Distillation, Training, methods, steps
from limbeck.core.actors import average
from limbeck.core.batch import Batch
from limbeck.data import Items
from tests.methods.two_samples import (
    ONE_HOT,
    OTHER,
    TASK,
    X,
    assert_equal,
    batch,
    criterion,
    gradients,
    kl,
    net,
    of_linear,
)


def test_ps_kd_mixes_labels_with_what_was_predicted_when_an_item_was_last_seen() -> None:
    model = net(1)
    made = criterion(methods.ps_kd(task=TASK, trust=0.8)["terms"], {"student": model}, batch())
    before = model(X).softmax(-1).detach()
    made(batch(), progress=0.0)
    nn.init.normal_(model.weight)
    found = gradients(made(batch(), progress=0.5)["loss"], [model])
    target = 0.6 * ONE_HOT + 0.4 * before  # α = 0.8 · 0.5
    assert_equal(found, of_linear((model(X).softmax(-1).detach() - target) / 2))


def test_dlb_learns_from_the_batch_before_and_from_nothing_older() -> None:
    terms, model = methods.dlb(task=TASK, temperature=3, alpha=0.5)["terms"], net(1)
    made = criterion(terms, {"student": model}, batch(), samples=3)
    first = Batch({"default": torch.cat([X, OTHER[:1]])}, target=torch.tensor([0, 2, 1]), index=torch.tensor([0, 1, 2]))
    made(first, progress=0.0)
    made(batch(), progress=0.1)  # items 0 and 1 again; item 2 is two steps old at the next one
    last = (model(X) / 3).softmax(-1).detach()
    nn.init.normal_(model.weight)
    rows = torch.tensor([1, 2])
    now = Batch({"default": torch.stack([X[1], OTHER[0]])}, target=torch.tensor([2, 1]), index=rows)
    found = made(now, progress=0.2)
    logits = model(now.inputs["default"])
    expected = F.cross_entropy(logits, now.target) + 0.5 * kl(last[1:], logits[:1], 3).mean()
    torch.testing.assert_close(found["loss"], expected)
    assert_equal(gradients(found["loss"], [model]), gradients(expected, [model]))


def items() -> Items:
    return Items.from_tensors(torch.rand(24, 2, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 3, classes=3)


def test_dlb_needs_batches_that_overlap() -> None:
    arguments: Any = methods.dlb(task=TASK)
    with pytest.raises(ValueError, match=r"set training: \{overlap: true\}"):
        Distillation(net(1), **arguments)
    job = Distillation(net(1), training=Training(steps(4), batch_size=8, overlap=True), control=False, **arguments)
    job.fit(items())
    assert job.trained[0].run.clock.updates == 4


def test_the_mean_teaches_and_gets_no_gradient() -> None:
    model = net(1)
    terms = methods.mean_teacher(task=TASK, weight=0.5, ramp=0.5, view="weak")["terms"]
    given = batch(weak=OTHER)
    made = criterion(terms, {"student": model, "mean": average("student")}, given)
    nn.init.normal_(model.weight)
    mean = made.actors["mean"].model
    found = gradients(made(given, progress=0.25)["loss"], [model])
    p, q = model(X).softmax(-1).detach(), mean(OTHER).softmax(-1)
    assert_equal(found, of_linear(((p - ONE_HOT) + 0.25 * (p - q)) / 2))
    assert not any(parameter.requires_grad for parameter in mean.parameters())


def test_born_again_generations_begin_anew_and_all_of_them_are_kept() -> None:
    made: Any = methods.born_again(task=TASK, length=steps(5), generations=3, labels=0)
    job = Distillation(lambda: nn.Linear(2, 3), training=Training(batch_size=8), control=False, **made)
    job.fit(items())
    trained = job.trained[0].run
    assert trained.clock.updates == 15
    ensemble = made["evaluate"]["generations"]
    assert list(ensemble.references) == ["student", "generations.1", "generations.2"]
    weights = [trained.actors[name].model.weight for name in ensemble.references]
    assert all(not torch.equal(one, other) for one, other in zip(weights, [*weights[1:], weights[0]], strict=True))
    assert [term.objective.name for term in made["stages"][1].updates[0].terms] == ["soft_targets"]


def test_a_generation_learns_from_its_predecessor_alone() -> None:
    model, before = net(1), net(2)
    terms = methods.born_again(task=TASK, length=steps(1), labels=0.5)["stages"][1].updates[0].terms
    made = criterion(terms, {"student": model, "generations.1": before}, batch())
    found = gradients(made(batch())["loss"], [model, before])
    p, q = model(X).softmax(-1).detach(), before(X).softmax(-1).detach()
    assert_equal(found, [*of_linear((0.5 * (p - ONE_HOT) + (p - q)) / 2), torch.zeros(3, 2), torch.zeros(3)])


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("born_again", {"generations": 1}, "generations is 1"),
        ("born_again", {"generations": 10**9}, "generations is 1000000000; expected 2, .* to 100"),
        ("born_again", {"labels": -1}, "labels is -1"),
        ("ps_kd", {"trust": 0}, "trust is 0"),
        ("dlb", {"alpha": 0}, "alpha is 0"),
        ("mean_teacher", {"ramp": 2}, "ramp 2"),
    ],
)
def test_values_out_of_range_are_refused(name: str, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        methods.call(name, arguments, task=TASK, length=steps(1))
