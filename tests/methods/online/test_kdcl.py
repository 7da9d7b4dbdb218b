"""KDCL: one target of all peers teaches each of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck import methods, steps
from limbeck.core.weighers.held_back import is_held_back
from tests.methods.two_samples import ONE_HOT, OTHER, TASK, X, Y, assert_equal, batch, criterion, gradients, net, of_linear

T = 2.0


def terms(**arguments: Any) -> Any:
    return methods.kdcl(task=TASK, length=steps(1), temperature=T, **arguments)["stages"][0].updates[0].terms


def by_hand(logits: Tensor, target: Tensor) -> Tensor:
    """The gradient of one peer's logits for CE(labels) + T² KL(target ‖ p)."""
    return ((logits.softmax(-1) - ONE_HOT) + T * ((logits / T).softmax(-1) - (target / T).softmax(-1))) / 2


@pytest.mark.parametrize("target", ["mean", "min_logit"])
def test_each_peer_learns_from_the_ensemble_and_from_nothing_else(target: Any) -> None:
    a, b = net(1), net(2)
    made = criterion(terms(target=target), {"peers.a": a, "peers.b": b}, batch())
    found = gradients(made(batch())["loss"], [a, b])
    z_a, z_b = a(X).detach(), b(X).detach()
    if target == "mean":
        ensemble = (z_a + z_b) / 2
    else:
        label = Y[:, None]
        ensemble = torch.minimum(z_a - z_a.gather(1, label), z_b - z_b.gather(1, label))
    assert_equal(found, of_linear(by_hand(z_a, ensemble)) + of_linear(by_hand(z_b, ensemble)))


def test_peers_see_views_of_their_own() -> None:
    a, b = net(1), net(2)
    given = batch(second=OTHER)
    made = criterion(
        terms(target="mean", views={"peers.a": "default", "peers.b": "second"}), {"peers.a": a, "peers.b": b}, given
    )
    z_a, z_b = a(X).detach(), b(OTHER).detach()
    found = gradients(made(given)["loss"], [a, b])
    ensemble = (z_a + z_b) / 2
    assert_equal(found, of_linear(by_hand(z_a, ensemble)) + of_linear(by_hand(z_b, ensemble), OTHER))


def test_held_back_items_train_nobody_and_weigh_the_peers() -> None:
    share = 0.5
    keys = torch.arange(200)
    out = is_held_back(keys, share)
    chosen = torch.stack([keys[~out][0], keys[out][0]])  # the second sample is held back
    given = batch()
    given = type(given)(given.inputs, target=Y, keys=chosen, index=given.index)
    a, b = net(1), net(2)
    made = criterion(terms(target="least_error", held_back=share), {"peers.a": a, "peers.b": b}, given)
    found = gradients(made(given)["loss"], [a, b])
    errors = torch.stack([(each(X).softmax(-1) - ONE_HOT)[1].detach() for each in (a, b)]).double()
    inverse = torch.linalg.inv(errors @ errors.T)
    weights = (inverse.sum(1) / inverse.sum()).clamp(min=0).float()
    weights = weights / weights.sum()
    z_a, z_b = a(X).detach(), b(X).detach()
    ensemble = weights[0] * z_a + weights[1] * z_b
    kept = torch.tensor([[1 / (1 - share)], [0.0]])
    expected = of_linear(by_hand(z_a, ensemble) * kept) + of_linear(by_hand(z_b, ensemble) * kept)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_an_unknown_target_and_a_share_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="expected mean, min_logit or least_error"):
        terms(target="best")
    with pytest.raises(ValueError, match="kdcl: held_back is 1; expected a share of the items"):
        terms(held_back=1)
