"""Sampling of text: with a cache and without, and item by item."""

from __future__ import annotations

import pytest
import torch

from limbeck.data.sources.sampling import Sampling, continue_prompts, sample_without_cache, uses_generate
from tests.data.sources.language_models import gpt2, llama

PROMPTS = [torch.randint(50, (length,), generator=torch.Generator().manual_seed(length)) for length in (3, 7, 1, 12, 5)]
NOISE = torch.rand(5, 20, generator=torch.Generator().manual_seed(3))
GREEDY = Sampling(top_k=1)


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize(
    ("sampling", "stop"), [(Sampling(), ()), (GREEDY, ()), (Sampling(0.7, top_k=10, top_p=0.9), (4, 9, 20)), (GREEDY, (7,))]
)
def test_the_cache_gives_the_tokens_of_the_whole_computation(make, sampling, stop):
    model = make()
    assert uses_generate(model)
    cached = continue_prompts(model, PROMPTS, NOISE, sampling, stop)
    whole = sample_without_cache(model, PROMPTS, NOISE, sampling, stop)
    assert torch.equal(cached.tokens, whole.tokens)
    assert torch.equal(cached.lengths, whole.lengths)
    assert stop or set(cached.lengths.tolist()) == {20}
    assert len(stop) < 3 or len(set(cached.lengths.tolist())) > 1


@pytest.mark.parametrize("make", [llama, gpt2])
def test_a_sample_does_not_depend_on_the_other_items(make):
    model = make()
    together = continue_prompts(model, PROMPTS, NOISE, Sampling(), (4, 9))
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    for row, prompt in enumerate(PROMPTS):
        alone = continue_prompts(model, [prompt], NOISE[row : row + 1], Sampling(), (4, 9))
        assert torch.equal(alone.tokens[0], together.tokens[row])
        assert alone.lengths[0] == together.lengths[row]
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_sample_ends_with_its_stop_token():
    made = continue_prompts(gpt2(), PROMPTS, NOISE, Sampling(), tuple(range(10)))
    for tokens, length in zip(made.tokens, made.lengths, strict=True):
        assert (tokens[: length - 1] >= 10).all()
        assert tokens[length - 1] < 10 or length == 20
        assert (tokens[length:] == 0).all()


def test_defaults_of_the_model_do_not_change_the_samples():
    model = gpt2()
    plain = continue_prompts(model, PROMPTS, NOISE, Sampling())
    model.generation_config.repetition_penalty, model.generation_config.do_sample = 3.0, True
    model.generation_config.top_k, model.generation_config.max_length = 2, 4
    own = model.generation_config
    again = continue_prompts(model, PROMPTS, NOISE, Sampling())
    assert torch.equal(plain.tokens, again.tokens)
    assert model.generation_config is own


def drawn(sampling: Sampling, probabilities: list[float], count: int = 4000) -> torch.Tensor:
    logits = torch.tensor(probabilities).log().expand(count, -1)
    tokens = sampling.choose(logits, torch.rand(count, 1, generator=torch.Generator().manual_seed(0)))
    return torch.bincount(tokens[:, 0], minlength=len(probabilities)) / count


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [0.1, 0.5, 0.3, 0.1]),
        (Sampling(top_k=2), [0, 5 / 8, 3 / 8, 0]),
        (Sampling(top_k=1), [0, 1, 0, 0]),
        (Sampling(top_k=9), [0.1, 0.5, 0.3, 0.1]),
        (Sampling(top_p=0.7), [0, 5 / 8, 3 / 8, 0]),
        (Sampling(top_p=0.1), [0, 1, 0, 0]),
        (Sampling(top_p=0.85), [1 / 9, 5 / 9, 3 / 9, 0]),
        (Sampling(0.5), [0.01 / 0.36, 0.25 / 0.36, 0.09 / 0.36, 0.01 / 0.36]),
    ],
)
def test_tokens_are_drawn_by_their_probability(sampling, expected):
    torch.testing.assert_close(
        drawn(sampling, [0.1, 0.5, 0.3, 0.1]), torch.tensor(expected, dtype=torch.float32), rtol=0, atol=0.025
    )


def test_extreme_numbers_choose_no_token_of_probability_zero():
    uniform = torch.tensor([[0.0], [1 - 2**-24]])
    logits = torch.tensor([0.0, 0.3, 0.5, 0.2, 0.0]).log().expand(2, -1)
    assert Sampling().choose(logits, uniform)[:, 0].tolist() == [1, 3]
