"""Early exit: each item leaves at the first exit that is sure, and the network stops when all have left."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from limbeck import models
from limbeck.core import module_of
from limbeck.core.actors import Actors, trained
from limbeck.core.early_exit_module import EarlyExitModule
from limbeck.core.teachers import EarlyExit, teacher
from limbeck.core.teachers.early_exit import chosen_exits
from limbeck.evaluation.model_cost import macs, macs_until

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    model = models.with_exits(models.get("tiny_cnn", width=4, size=8, blocks=2, channels=1), ["layer1", "layer2"])
    with torch.no_grad():
        for exit in model.exits.values():
            exit.classifier.weight.mul_(40)  # so that items differ in how sure the exits are
    return model.eval()


def early(network: nn.Module, threshold: float | list[float], *, prune: bool = False) -> EarlyExitModule:
    of = EarlyExit(["student:exits.*", "student"], threshold=threshold)
    module = module_of(of, Actors({"student": trained(network)}), prune=prune).eval()
    assert isinstance(module, EarlyExitModule)
    return module


def test_the_first_sure_exit_is_chosen() -> None:
    sure, unsure = [9.0, 0.0, 0.0], [0.2, 0.0, 0.1]
    logits = torch.tensor([[sure, unsure, unsure], [unsure, sure, unsure], [unsure, unsure, unsure]])
    assert chosen_exits(logits, 0.9).tolist() == [0, 1, 2]
    assert chosen_exits(logits, 0).tolist() == [0, 0, 0]
    assert chosen_exits(logits, 1.01).tolist() == [2, 2, 2]
    assert chosen_exits(logits, [1.01, 0.9]).tolist() == [2, 1, 2]


def test_items_get_the_logits_of_their_exit_alone_and_in_a_batch(network: nn.Module) -> None:
    actors = Actors({"student": trained(network)})
    each = [module_of(of, actors)(IMAGES) for of in ("student:exits.layer1", "student:exits.layer2", "student")]
    sureness = torch.stack(each).softmax(-1).amax(-1)
    threshold = float(sureness[0].detach().median())
    chosen = chosen_exits(torch.stack(each), threshold)
    assert len(set(chosen.tolist())) > 1
    expected = torch.stack([each[at][row] for row, at in enumerate(chosen.tolist())])
    module = early(network, threshold)
    with torch.no_grad():
        torch.testing.assert_close(module(IMAGES), expected)
        alone = torch.cat([module(image[None]) for image in IMAGES])
    torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)


def test_each_exit_may_have_a_threshold_of_its_own(network: nn.Module, tmp_path: Path) -> None:
    actors = Actors({"student": trained(network)})
    with torch.no_grad():
        each = [module_of(of, actors)(IMAGES) for of in ("student:exits.layer1", "student:exits.layer2", "student")]
        assert torch.equal(early(network, [0.0, 1.01])(IMAGES), each[0])
        assert torch.equal(early(network, [1.01, 0.0])(IMAGES), each[1])
        assert torch.equal(early(network, [1.01, 1.01])(IMAGES), each[2])
        module = early(network, [1.01, 0.5], prune=True)
        models.save_model(module, None, tmp_path)
        assert torch.equal(models.load_model(tmp_path).eval()(IMAGES), module(IMAGES))
    with pytest.raises(ValueError, match="threshold has 1 numbers, and there are 3 exits; give 2"):
        early(network, [0.5])


def test_nothing_runs_after_the_exit_at_which_all_items_leave(network: nn.Module) -> None:
    ran: list[str] = []
    handles = [
        network.get_submodule(path).register_forward_pre_hook(lambda *_, path=path: ran.append(path))
        for path in ("layer1", "layer2")
    ]
    with torch.no_grad():
        early(network, 0.0)(IMAGES)
        assert ran == ["layer1"]
        early(network, 1.01)(IMAGES)
        assert ran == ["layer1", "layer1", "layer2"]
    for handle in handles:
        handle.remove()
    assert macs(early(network, 0.0), IMAGES[:1]) < macs(early(network, 1.01), IMAGES[:1])


def test_the_work_until_each_exit_grows(network: nn.Module) -> None:
    module = early(network, 1.01)
    reached = macs_until(module, module.exit_modules(), IMAGES[:1])
    assert reached == sorted(reached)
    assert reached[0] == macs(early(network, 0.0), IMAGES[:1])
    assert reached[-1] == macs(module, IMAGES[:1])


def test_it_is_saved_loaded_and_exported_as_one_graph(network: nn.Module, tmp_path: Path) -> None:
    module = early(network, 0.5, prune=True)
    with torch.no_grad():
        expected = module(IMAGES)
        models.save_model(module, None, tmp_path)
        loaded = models.load_model(tmp_path).eval()
        assert torch.equal(loaded(IMAGES), expected)
        program = torch.export.export(module, (IMAGES,))
        torch.testing.assert_close(program.module()(IMAGES), expected)


def test_what_does_not_fit_is_refused(network: nn.Module) -> None:
    with pytest.raises(ValueError, match="threshold is -1"):
        EarlyExit("student", threshold=-1)
    with pytest.raises(ValueError, match="tolerance is 3"):
        EarlyExit("student", tolerance=3)
    others = Actors({"a": trained(nn.Linear(2, 3)), "b": trained(nn.Linear(2, 3))})
    with pytest.raises(ValueError, match="a, b are not the exits of one network"):
        module_of(EarlyExit(["a", "b"]), others)
    assert isinstance(teacher({"early_exit": {"of": ["student:exits.*", "student"], "threshold": 0.8}}), EarlyExit)
