"""Progressive projection: pairs of layers are added one by one, carried on and relaxed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import Distillation, Training, epochs, methods, models, steps
from limbeck.core.actors import frozen
from limbeck.data import load_items
from limbeck.engine import Settings
from tests.methods.two_samples import ONE_HOT, TASK, X, assert_equal, batch, criterion, gradients, net

PAIRS = {"first": "body", "second": "top"}


class Deep(nn.Module):
    """Two hidden layers and a classifier; linear, so that gradients are computed by hand."""

    def __init__(self, seed: int, names: tuple[str, str], width: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.names = names
        for name, inputs in zip(names, (2, width), strict=True):
            self.add_module(name, nn.Linear(inputs, width))
        self.last = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = self.get_submodule(name)(x)
        return self.last(x)


def stages(**arguments: Any) -> Any:
    given = {"features": PAIRS, "length": steps(10), **arguments}
    return methods.progressive_projection(task=TASK, **given)["stages"]


def weights(stage: Any) -> dict[str, float]:
    return {term.name or term.objective.name: term.weight(0) for term in stage.terms}


def test_pairs_are_added_in_turn_and_relaxed_in_turn() -> None:
    outputs = {"hard_targets": 0.1, "soft_targets": 0.9}
    found = [weights(stage) for stage in stages(weight=8.0, relax=0.5)]
    assert found == [
        outputs | {"projection.1": 8.0},
        outputs | {"projection.1": 4.0, "projection.2": 8.0},
        outputs | {"projection.1": 2.0, "projection.2": 4.0},
    ]
    assert [weights(stage) for stage in stages(relax=0.0, weight=1.0)][1:] == [outputs | {"projection.2": 1.0}, outputs]
    (only,) = stages(order="one_shot", weight=1.0)
    assert weights(only) == outputs | {"projection.1": 1.0, "projection.2": 1.0}


@pytest.mark.parametrize("length", [steps(11), epochs(3)])
def test_the_stages_are_as_long_as_the_training(length: Any) -> None:
    found = [stage.length for stage in stages(length=length, share=0.6)]
    assert sum(one.count for one in found) == pytest.approx(length.count)
    assert found[0] == found[1]
    assert found[0].count == pytest.approx(3 if length.unit == "steps" else 0.9)


def test_the_layers_up_to_the_pair_get_the_gradient_of_a_projection_and_the_teacher_none() -> None:
    student, teacher = Deep(0, ("first", "second"), 4), Deep(1, ("body", "top"), 5)
    terms = stages(labels=0.0, soft=1e-9, weight=2.0)[0].terms
    made = criterion(terms, {"student": student, "teacher": frozen(teacher)}, batch())
    (layer,) = [m for m in made.adapters.modules() if isinstance(m, nn.Linear)]
    loss = made(batch())["loss"]
    s, t = student.first(X).detach(), teacher.body(X).detach()
    difference = 2 * 2 * (layer(s).detach() - t) / t.numel()  # the mean over two items of 5 elements
    back = difference @ layer.weight.detach()
    found = gradients(loss, [student.first, student.second, layer])
    zero = [torch.zeros_like(p) for p in student.second.parameters()]
    expected = [back.T @ X, back.sum(0), *zero, difference.T @ s, difference.sum(0)]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    made(batch())["loss"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_the_outputs_are_learned_in_every_stage() -> None:
    student, teacher = Deep(0, ("first", "second"), 4), net(2)
    terms = [term for term in stages(labels=0.25, soft=0.75, temperature=1.0)[0].terms if not term.name]
    found = gradients(
        criterion(terms, {"student": student, "teacher": frozen(teacher)}, batch())(batch())["loss"], [student.last]
    )
    p, t = student(X).softmax(-1).detach(), teacher(X).softmax(-1).detach()
    by_logit = (0.25 * (p - ONE_HOT) + 0.75 * (p - t)) / 2
    hidden = student.second(student.first(X)).detach()
    assert_equal(found, [by_logit.T @ hidden, by_logit.sum(0)])


@pytest.mark.parametrize("inverse", [False, True])
def test_projections_are_carried_on_between_a_cnn_and_a_transformer(inverse: bool, tmp_path: Path) -> None:
    """Each stage's projection begins where the one before ended, from maps to tokens and from tokens to maps."""
    cnn = models.tiny_cnn(width=4, size=8)
    vit = models.vit_tiny(dim=8, depth=2, heads=2, size=8, patch=4, channels=1)
    student, teacher = (cnn, vit) if inverse else (vit, cnn)
    pairs = {"blocks.0": "layer1", "blocks.1": "layer2"}
    features = {theirs: ours for ours, theirs in pairs.items()} if inverse else pairs
    items = load_items("digits", split="train").select(torch.arange(64))
    how = Training(batch_size=32, settings=Settings(progress=False, device="cpu", threads=1, trackers=()))
    plan: Any = methods.progressive_projection(task=TASK, length=steps(8), features=features)
    job = Distillation(student, teacher, training=how, control=False, folder=tmp_path / "run", **plan)
    job.fit(items)
    logs = [json.loads(line) for file in (tmp_path / "run").rglob("log.jsonl") for line in file.read_text().splitlines()]
    assert logs
    assert not any("projection" in json.dumps(line.get("built_anew", "")) for line in logs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": {}}, "features is empty"),
        ({"relax": 1.5}, "relax 1.5"),
        ({"share": 1.0}, "share 1"),
        ({"weight": 0.0}, "weight is 0"),
        ({"order": "at_once"}, "order is 'at_once'"),
        ({"length": steps(3)}, "3 steps are too few for 3 stages"),
    ],
)
def test_values_out_of_range_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stages(**arguments)
