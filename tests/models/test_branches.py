"""Branches: the model stays itself, and its copies run beside it in one pass."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck import models
from limbeck.core import module_of
from limbeck.core.actors import Actors, trained
from limbeck.core.taps import Probe
from limbeck.export.trace import trace
from limbeck.recipe import Recipe, RecipeError

HEADS = [f"branches.heads.{name}" for name in ("1", "2", "ensemble")]
IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return models.get("resnet_cifar", depth=8, width=4).eval()


@pytest.fixture(scope="module")
def branched() -> nn.Module:
    return models.with_branches(backbone(), ["layer3", "linear"], 3).eval()


def test_the_model_and_its_weights_stay_as_they_are(branched: nn.Module) -> None:
    plain = backbone()
    assert torch.equal(branched(IMAGES), plain(IMAGES))
    assert set(plain.state_dict()) == {name for name in branched.state_dict() if not name.startswith("branches.")}


def test_branches_are_what_the_backbone_would_compute_with_their_weights(branched: nn.Module) -> None:
    plain = backbone()
    with Probe(branched, ["logits", *HEADS]) as probe:
        found = probe(IMAGES)
    features = plain.layer2(plain.layer1(F.relu(plain.bn1(plain.conv1(plain.normalize(IMAGES))))))
    logits = [plain(IMAGES)]
    for head in ("1", "2"):
        copies = branched.branches.heads[head].copies
        logits.append(copies["linear"](copies["layer3"](features).mean((2, 3))))
        torch.testing.assert_close(found[f"branches.heads.{head}"], logits[-1])
        assert not torch.equal(copies["linear"].weight, plain.linear.weight)
    torch.testing.assert_close(found["logits"], logits[0])
    shares = branched.branches.heads["ensemble"].score(features.mean((2, 3))).softmax(-1)
    torch.testing.assert_close(found[HEADS[2]], torch.einsum("bk,kbc->bc", shares, torch.stack(logits)))


def test_layers_before_the_branches_run_once_and_branches_only_if_they_are_read(branched: nn.Module) -> None:
    ran: list[str] = []
    copy = branched.branches.heads["1"].copies["layer3"]
    handle, copied = branched.layer2.register_forward_hook(lambda *_: ran.append("trunk")), copy.forward

    def counted(features: Tensor) -> Tensor:
        ran.append("copy")
        return copied(features)

    copy.forward = counted
    branched(IMAGES)
    assert ran == ["trunk"]
    with Probe(branched, HEADS) as probe:
        probe(IMAGES)
    assert ran == ["trunk", "trunk", "copy"]
    handle.remove()
    del copy.forward


@pytest.mark.parametrize("of", ["student", "student:branches.heads.1", "student:branches.heads.ensemble"])
def test_what_is_kept_of_a_branch_can_be_saved_and_loaded(branched: nn.Module, of: str, tmp_path: Path) -> None:
    module = module_of(of, Actors({"student": trained(branched)}), prune=True, example=IMAGES).eval()
    with torch.no_grad():
        expected = module(IMAGES)
        models.save_model(module, None, tmp_path)
        assert torch.equal(models.load_model(tmp_path).eval()(IMAGES), expected)
        assert torch.equal(module(IMAGES), expected)
    if of == "student":
        assert models.count_parameters(module) == models.count_parameters(backbone())


@pytest.mark.parametrize("head", HEADS)
def test_an_exported_branch_takes_any_number_of_items(branched: nn.Module, head: str) -> None:
    module = module_of(f"student:{head}", Actors({"student": trained(branched)}), prune=True, example=IMAGES).eval()
    graph = trace(module, IMAGES, any_batch=True).module()
    with torch.no_grad():
        for items in (IMAGES[:1], torch.cat([IMAGES, IMAGES.flip(3)])[:7]):
            torch.testing.assert_close(graph(items), module(items))


class MixesItems(nn.Module):
    """Subtracts the mean of the batch after the branches began."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x) + torch.arange(len(x))[:, None])
        return self.last(x + torch.linspace(0, 1, len(x))[:, None])


@pytest.mark.parametrize(
    ("modules", "count", "message"),
    [
        (["layer3", "linear"], 1, "count is 1"),
        ([], 3, "name those of a branch in a list"),
        (["linear", "layer3"], 3, r"run as \['layer3', 'linear'\]"),
        (["layer9"], 3, "layer1"),
    ],
)
def test_what_does_not_fit_is_refused(modules: list[str], count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        models.with_branches(backbone(), modules, count)


def test_a_model_that_mixes_the_items_of_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="depends on the size of the batch"):
        models.with_branches(MixesItems(), ["second", "last"], 2, example=torch.rand(3, 4))


def test_a_recipe_gives_a_student_branches() -> None:
    content = {
        "name": "run",
        "data": {"train": {"path": "digits", "split": "train", "limit": 64}, "test": {"path": "digits", "split": "test"}},
        "student": {"model": "tiny_cnn", "args": {"width": 4, "size": 8}, "branches": {"modules": ["layer2", "linear"]}},
        "method": "one",
        "training": {"steps": 3, "batch_size": 32},
    }
    recipe = Recipe.from_dict(content)
    items = recipe.load()
    job = recipe.distillation(None, items.train)
    job.fit(items.train)
    assert list(job.plan.evaluate) == ["student", "ensemble"]
    content["student"]["branches"]["modules"] = ["linear", "layer2"]  # type: ignore[index]
    wrong = Recipe.from_dict(content)
    with pytest.raises(RecipeError, match="branches: with_branches: modules are"):
        wrong.distillation(None, items.train).fit(items.train)
