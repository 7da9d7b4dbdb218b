"""Held-back items: which they are, and the weights that are measured on them."""

from __future__ import annotations

import pytest
import torch

from limbeck.core.batch import Batch
from limbeck.core.weighers import LeastError, NotHeldBack
from limbeck.core.weighers.held_back import is_held_back

KEYS = torch.randint(-(2**62), 2**62, (4000,), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("keys", [KEYS, torch.arange(4000)])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_of_the_items_is_held_back_always_the_same(keys: torch.Tensor, share: float) -> None:
    chosen = is_held_back(keys, share)
    assert chosen.float().mean().item() == pytest.approx(share, abs=0.03)
    assert torch.equal(chosen[:100], is_held_back(keys[:100], share))
    assert not (is_held_back(keys, 0.1) & ~is_held_back(keys, 0.5)).any()


def test_the_others_weigh_one_on_average() -> None:
    batch = Batch({"default": torch.zeros(4000, 1)}, keys=KEYS)
    weights = NotHeldBack(0.2)([], batch, torch.zeros(4000, 3), 0.0)
    assert set(weights.tolist()) == {0.0, 1.25}
    assert weights.mean().item() == pytest.approx(1, abs=0.05)


def observed(weigher: LeastError, logits: list[torch.Tensor], labels: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    batch = Batch({"default": torch.zeros(len(labels), 1)}, target=labels, keys=keys)
    weigher.prepare(logits, logits[0], torch.device("cpu"), None)
    return weigher(logits, batch, logits[0], 0.0)


def test_the_better_teacher_weighs_more_and_labels_of_other_items_do_not_matter() -> None:
    generator = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 3, (4000,), generator=generator)
    right = 4 * torch.nn.functional.one_hot(labels, 3).float() + torch.randn(4000, 3, generator=generator)
    noise = torch.randn(4000, 3, generator=generator)
    held = is_held_back(KEYS, 0.1)
    logits = [torch.where(held[:, None], right, noise), torch.where(held[:, None], noise, right)]
    weights = observed(LeastError(0.1, decay=0.0), logits, labels, KEYS)
    assert weights.shape == (2, 4000)
    assert weights.sum(0)[0].item() == pytest.approx(1)
    assert weights[0, 0] > 0.9


def test_weights_are_equal_until_a_held_back_item_was_seen_and_stay_in_evaluation() -> None:
    weigher, labels = LeastError(0.5), torch.tensor([0, 1])
    logits = [torch.tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([[0.0, 3.0], [3.0, 0.0]])]
    out = KEYS[~is_held_back(KEYS, 0.5)][:2]
    assert torch.equal(observed(weigher, logits, labels, out), torch.full((2, 2), 0.5))
    kept = KEYS[is_held_back(KEYS, 0.5)][:2]
    weigher.eval()
    assert torch.equal(observed(weigher, logits, labels, kept), torch.full((2, 2), 0.5))
    weigher.train()
    assert observed(weigher, logits, labels, kept)[0, 0] > 0.9
    other = LeastError(0.5)
    other.build([(2, 2), (2, 2)], (2, 2), samples=None)
    other.load_state_dict(weigher.state_dict())
    assert torch.equal(other.weights(), weigher.weights())


def test_what_is_out_of_range_or_missing_is_refused() -> None:
    for share in (0, 1, -0.1):
        with pytest.raises(ValueError, match=f"share is {share}"):
            NotHeldBack(share)
    with pytest.raises(ValueError, match="decay is 1"):
        LeastError(decay=1)
    with pytest.raises(ValueError, match="key of each item"):
        NotHeldBack()([], Batch({"default": torch.zeros(1, 1)}), torch.zeros(1, 2), 0.0)
