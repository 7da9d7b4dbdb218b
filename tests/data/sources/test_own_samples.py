"""Text sampled from an actor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.source import BatchPosition
from limbeck.data.sources.own_samples import OwnSamples


class Fixed(nn.Module):
    """Outputs the same next-token probabilities everywhere."""

    def __init__(self, probabilities: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probabilities).log())
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        assert not self.training
        return self.logits.expand(*tokens.shape, -1)


def own(model: nn.Module, **options) -> OwnSamples:
    prompts = torch.arange(20).view(10, 2) % 3
    source = OwnSamples("student", prompts, **{"batch_size": 4, "new_tokens": 6, **options})
    source.bind({"student": model})
    return source


def test_samples_continue_prompts_and_the_mask_marks_them():
    batch = own(Fixed([0.5, 0.25, 0.25])).batch(BatchPosition(0))
    tokens = batch.inputs["default"]
    assert tokens.shape == (4, 8)
    assert torch.equal(tokens[:, :2], (torch.arange(20).view(10, 2) % 3)[batch.index])
    assert batch.mask.tolist() == [[0, 1, 1, 1, 1, 1, 1, 0]] * 4  # position i predicts token i + 1


def test_samples_follow_the_model_at_the_temperature():
    for temperature, expected in ((1.0, [0.7, 0.2, 0.1, 0]), (0.5, [0.49, 0.04, 0.01, 0])):
        source = own(Fixed([0.7, 0.2, 0.1, 0]), batch_size=10, new_tokens=400, temperature=temperature)
        tokens = source.batch(BatchPosition(0)).inputs["default"][:, 2:]
        shares = torch.bincount(tokens.flatten(), minlength=4) / tokens.numel()
        torch.testing.assert_close(shares, torch.tensor(expected) / sum(expected), rtol=0, atol=0.02)


def test_parts_of_samples_make_up_the_global_batch_and_modes_are_kept():
    model = Fixed([0.5, 0.25, 0.25]).train()
    model.dropout.eval()
    source = own(model)
    whole = source.batch(BatchPosition(0)).inputs["default"]
    pieces = [source.batch(BatchPosition(0, part=part, parts=2)).inputs["default"] for part in range(2)]
    assert torch.equal(torch.cat(pieces), whole)
    assert not torch.equal(source.batch(BatchPosition(1)).inputs["default"], whole)
    assert model.training
    assert not model.dropout.training


def test_unknown_and_unbound_actors_are_refused():
    with pytest.raises(ValueError, match="'student' is not among the actors: teacher"):
        OwnSamples("student", torch.zeros(2, 2)).bind({"teacher": nn.Identity()})
    with pytest.raises(ValueError, match="within a run only"):
        OwnSamples("student", torch.zeros(2, 2)).batch(BatchPosition(0))
    with pytest.raises(ValueError, match="temperature is 0"):
        OwnSamples("student", torch.zeros(2, 2), temperature=0)
