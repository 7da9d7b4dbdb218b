"""Weights in checkpoints of training scripts: wrappers, prefixes, and several models in one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from limbeck import models
from limbeck.models.checkpoint_keys import find_state


def model(width: int = 4) -> nn.Module:
    return models.get("resnet_cifar", depth=8, width=width)


def prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + key: value for key, value in state.items()}


def loaded(content: Any, folder: Path) -> nn.Module:
    torch.save(content, folder / "w.pt")
    other = model()
    models.load_weights(other, folder / "w.pt")
    return other


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


@pytest.mark.parametrize("prefix", ["student.", "backbone.", "architecture.", "model_ema.", "net.encoder.", "0."])
def test_a_prefix_of_all_names_is_stripped_and_said(prefix: str, tmp_path: Path) -> None:
    given = model()
    with pytest.warns(UserWarning, match=f"the prefix '{prefix}' of its keys was stripped$"):
        assert same(given, loaded({"state_dict": prefixed(prefix, given.state_dict())}, tmp_path))


def test_the_weights_of_another_model_beside_it_are_left_out(tmp_path: Path) -> None:
    given, teacher = model(), model(8)
    state = prefixed("student.", given.state_dict()) | prefixed("teacher.", teacher.state_dict())
    with pytest.warns(UserWarning, match=f"'student.' of its keys was stripped, {len(teacher.state_dict())} other tensors"):
        assert same(given, loaded({"state_dict": state}, tmp_path))
    assert same(given, loaded({"student": given.state_dict(), "teacher": teacher.state_dict(), "epoch": 3}, tmp_path))


def test_averages_of_swa_are_read(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(model())
    assert same(averaged.module, loaded(averaged.state_dict(), tmp_path))


def test_two_models_that_fit_are_refused(tmp_path: Path) -> None:
    one, other = model(), model()
    with pytest.raises(ValueError, match=r"several models that fit: student, teacher\. Save the one that is meant"):
        loaded({"student": one.state_dict(), "teacher": other.state_dict()}, tmp_path)
    flat = prefixed("student.", one.state_dict()) | prefixed("teacher.", other.state_dict())
    with pytest.raises(ValueError, match="several models that fit: student, teacher"):
        loaded(flat, tmp_path)


def test_the_usual_place_comes_before_others(tmp_path: Path) -> None:
    given = model()
    assert same(given, loaded({"model_ema": model().state_dict(), "model": given.state_dict()}, tmp_path))


def test_weights_that_do_not_fit_are_compared_by_their_own_names() -> None:
    state = find_state({"state_dict": prefixed("module.", model(8).state_dict())}, model().state_dict(), "w.pt")
    assert list(state) == list(model().state_dict())


def test_a_second_name_of_a_shared_tensor_may_be_missing(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
            self.head.weight = self.embed.weight

    given, other = Tied(), Tied()
    torch.save({"student.embed.weight": given.embed.weight.detach()}, tmp_path / "w.pt")
    with pytest.warns(UserWarning, match="prefix 'student.'"):
        models.load_weights(other, tmp_path / "w.pt")
    assert torch.equal(given.embed.weight, other.head.weight)
