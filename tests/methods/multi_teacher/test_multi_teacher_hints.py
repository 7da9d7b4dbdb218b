"""Features of several teachers, each through a map of its own."""

from __future__ import annotations

import pytest
import torch

from limbeck import methods
from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from tests.methods.by_hand import Y, divergence
from tests.methods.multi_teacher.test_ca_mkd import Pictures


def test_by_hand():
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    nets = [Pictures(1, 5).eval(), Pictures(2, 6).eval()]
    actors = Actors({"student": trained(Pictures(0, 3))} | {f"teachers.{k}": frozen(net) for k, net in enumerate(nets)})
    terms = methods.call("multi_teacher_hints", {"labels": 0, "soft": 1, "hint": 4, "temperature": 2})["terms"]
    criterion = Criterion(terms, actors=actors, example=(x, Y)).eval()
    found = criterion((x, Y))
    maps = [one.parts[0].student_path for one in criterion.adapters[-1].parts]
    student = actors["student"].model
    far = [(one(student.layer3(x)) - net.layer3(x)).square().mean() for one, net in zip(maps, nets, strict=True)]
    soft = divergence((nets[0](x) + nets[1](x)).detach() / 2, student(x), 2).mean()
    torch.testing.assert_close(found["loss"], soft + 4 * (far[0] + far[1]) / 2)
    found["loss"].backward()
    assert all(p.grad is not None for one in maps for p in one.parameters())
    assert all(p.grad is None for net in nets for p in net.parameters())


def test_a_hint_of_no_weight_is_refused():
    with pytest.raises(ValueError, match="hint is 0; expected a weight above 0, or use averaged_teachers"):
        methods.call("multi_teacher_hints", {"hint": 0})
