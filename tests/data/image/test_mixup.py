"""Mixup and CutMix: images and targets are mixed in the same share."""

from __future__ import annotations

import math

import pytest
import torch

from limbeck.data import Items, Pipeline
from limbeck.data.image.mixup import beta_quantiles, mix_targets
from tests.data.image.pictures import look, make_items


def test_mixup_mixes_images_and_targets_in_the_same_share() -> None:
    # item n is uniformly n / 50 and of class n, so that partner and share follow from the image
    images = (torch.arange(50) / 50).view(50, 1, 1, 1).expand(50, 1, 2, 2).contiguous()
    items = Items.from_tensors(images, torch.arange(50))
    out, target = look(Pipeline.from_spec([{"mixup": {"alpha": 1.0}}]), items, torch.arange(50))
    torch.testing.assert_close(target.sum(1), torch.ones(50))
    torch.testing.assert_close((target * torch.arange(50) / 50).sum(1), out[:, 0, 0, 0])
    assert ((target > 0).sum(1) <= 2).all()
    own = target.diagonal()
    assert 0.4 < own.mean() < 0.6


def test_cutmix_targets_count_the_pasted_pixels() -> None:
    images = (torch.arange(50) / 50).view(50, 1, 1, 1).expand(50, 1, 8, 8).contiguous()
    items = Items.from_tensors(images, torch.arange(50))
    out, target = look(Pipeline.from_spec(["cutmix"]), items, torch.arange(50))
    for row in range(50):
        kept = (out[row] == images[row]).float().mean()
        if target[row, row] < 1:  # the partner is another item
            assert target[row, row] == pytest.approx(kept.item())
    assert (out != images).any()


def test_partners_are_spread_over_the_data() -> None:
    items = Items.from_tensors(torch.rand(300, 1, 2, 2), torch.arange(300))
    _, target = look(Pipeline.from_spec([{"mixup": {"alpha": 5.0}}]), items, torch.arange(300))
    partners = (target - torch.diag(target.diagonal())).argmax(1)
    assert partners.unique().numel() > 150  # 300 · (1 − 1/e) = 190 are expected


@pytest.mark.parametrize("mix", ["mixup", "cutmix"])
def test_mixing_with_an_unlabelled_item_gives_no_label(mix: str) -> None:
    items = make_items(count=200)
    _, target = look(Pipeline.from_spec([mix]), items, torch.arange(200))
    assert items.target is not None
    assert (target[items.target == -100] == 0).all()
    sums = target.sum(1)
    assert (((sums - 1).abs() < 1e-6) | (sums == 0)).all()
    labelled = sums[items.target != -100]
    assert 0.02 < (labelled == 0).float().mean() < 0.3  # one partner in seven has no label


def test_moments_of_beta_quantiles() -> None:
    for alpha in (0.2, 1.0, 4.0):
        shares = torch.tensor(beta_quantiles(alpha, torch.rand(4000, generator=torch.Generator().manual_seed(0))))
        assert shares.mean().item() == pytest.approx(0.5, abs=0.03)
        assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)
        assert all(math.isfinite(share) for share in shares.tolist())


def test_targets_may_be_probabilities_already() -> None:
    own, other = torch.tensor([[0.5, 0.5, 0], [1, 0, 0]]), torch.tensor([2, -100])
    mixed = mix_targets(own, other, torch.tensor([0.75, 0.75]), 3)
    assert mixed.tolist() == [[0.375, 0.375, 0.25], [0, 0, 0]]
