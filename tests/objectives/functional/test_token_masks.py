"""Padding: whatever stands there, and however much of it there is, it changes nothing and gets no gradient."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limbeck import objectives
from limbeck.objectives.transformers import TokenObjective
from tests.objectives import cases
from tests.objectives.cases import CASES, Case, Inputs, Signal, gradients, parts
from tests.objectives.references_of_tokens import REFERENCES

ON_TOKENS = [case for case in CASES if issubclass(case.kind, TokenObjective)]
on_tokens = pytest.mark.parametrize("case", ON_TOKENS, ids=str)
few = settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
JUNK = [0.0, -7.0, 1e30, math.inf, -math.inf, math.nan]


def is_attention(case: Case) -> bool:
    return case.name in ("attention_scores", "attention_distributions")


def tokens_of(signal: Signal) -> int:
    return parts(signal)[0].shape[-2]


def loss_of(case: Case, inputs: Inputs, mask: torch.Tensor | None) -> torch.Tensor:
    return case.objective(inputs)(inputs.student, inputs.teacher, mask=mask)


def first_tokens(case: Case, x: torch.Tensor, count: int) -> torch.Tensor:
    return x[..., :count, :count] if is_attention(case) else x[..., :count, :]


def spread(case: Case, signal: Signal, places: torch.Tensor, tokens: int, junk: float) -> Signal:
    """The same tokens at these places [B, T] of `tokens`, with junk between them."""

    def longer(x: torch.Tensor) -> torch.Tensor:
        square = is_attention(case)
        out = x.new_full((*x.shape[:-2], tokens, tokens if square else x.shape[-1]), junk)
        for item, at in enumerate(places):
            if square:
                out[item][:, at[:, None], at] = x[item]
            else:
                out[item][..., at, :] = x[item]
        return out

    return cases.each_part(signal, longer)


def gathered(case: Case, gradient: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What a long gradient holds at the real places, and the rest of it."""
    real = torch.zeros(len(places), gradient.shape[-2], dtype=torch.bool)
    real.scatter_(1, places, True)
    counted = real[:, :, None] if gradient.ndim == 3 else real[:, None, :, None]
    if is_attention(case):
        counted = counted & real[:, None, None, :]
    counted = counted.expand_as(gradient)
    return gradient[counted], gradient[~counted]


@on_tokens
@given(seed=st.integers(0, 10_000), extra=st.integers(1, 4), junk=st.sampled_from(JUNK), other=st.sampled_from(JUNK))
@few
def test_padding_changes_nothing(case, seed, extra, junk, other):
    short = case.inputs(seed, 3).learning()
    loss = loss_of(case, short, None)
    generator = torch.Generator().manual_seed(seed)
    tokens = tokens_of(short.student) + extra
    order = torch.stack([torch.randperm(tokens, generator=generator) for _ in range(3)])
    places = order[:, : tokens_of(short.student)].sort(1).values
    mask = torch.zeros(3, tokens, dtype=torch.int64).scatter_(1, places, 1)
    long = replace(
        short,
        student=spread(case, short.student, places, tokens, junk),
        teacher=spread(case, short.teacher, places, tokens, other),
    ).learning()
    padded = loss_of(case, long, mask)
    torch.testing.assert_close(padded, loss, rtol=1e-10, atol=1e-13)
    for ours, theirs in zip(gradients(padded, long.student), gradients(loss, short.student), strict=True):
        at_real, at_padding = gathered(case, ours, places)
        torch.testing.assert_close(at_real, theirs.flatten(), rtol=1e-9, atol=1e-12)
        assert at_padding.numel() > 0
        assert (at_padding == 0).all()


@on_tokens
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 3), min_size=3, max_size=3))
@few
def test_each_item_is_averaged_over_its_own_tokens(case, seed, lengths):
    """An item of a padded batch has the loss of the slow loops on its real tokens alone."""
    inputs = case.inputs(seed, 3)
    mask = torch.arange(tokens_of(inputs.student)) < torch.tensor(lengths)[:, None]
    loss = loss_of(case, inputs, mask)
    for item, length in enumerate(lengths):
        alone = inputs.items(torch.tensor([item])).each(lambda x, length=length: first_tokens(case, x, length))
        slow = REFERENCES[case.name](case.objective(alone), alone.student, alone.teacher, None, None)
        torch.testing.assert_close(loss[item], slow[0], rtol=1e-9, atol=1e-12)


@on_tokens
@pytest.mark.parametrize("junk", [0.0, math.nan])
def test_an_item_without_a_real_token_gives_exactly_zero(case, junk):
    inputs = case.inputs(1, 3)
    inputs = inputs.each(lambda x: torch.cat([torch.full_like(x[:1], junk), x[1:]])).learning()
    mask = torch.ones(3, tokens_of(inputs.student))
    mask[0] = 0
    loss = loss_of(case, inputs, mask)
    assert loss[0] == 0
    assert (loss[1:] > 0).all()
    for gradient in gradients(loss, inputs.student):
        assert not gradient[0].any()
        assert gradient.isfinite().all()
        assert gradient[1:].any()


@on_tokens
def test_the_teacher_must_be_finite_at_real_tokens_only(case):
    inputs = case.inputs(2, 2)
    mask = torch.ones(2, tokens_of(inputs.student), dtype=torch.bool)
    mask[:, -1] = False
    broken = replace(inputs, teacher=cases.each_part(inputs.teacher, lambda x: _with(x, -1)))
    assert loss_of(case, broken, mask).isfinite().all()
    for unmasked in (None, mask.flip(1)):
        with pytest.raises(ValueError, match=rf"{case.name}: the teacher signal holds NaN or infinity"):
            loss_of(case, broken, unmasked)


def _with(x: torch.Tensor, token: int) -> torch.Tensor:
    broken = x.clone()
    broken[..., token, :] = math.nan
    return broken


@on_tokens
def test_a_student_that_is_not_finite_shows(case):
    inputs = case.inputs(3, 2)
    inputs.student = cases.each_part(inputs.student, lambda x: _with(x, 0))
    assert loss_of(case, inputs, None).isnan().all()


@on_tokens
@pytest.mark.parametrize("kind", [torch.bool, torch.int64, torch.uint8, torch.float32])
def test_a_mask_may_be_of_any_type(case, kind):
    inputs = case.inputs(4, 2)
    mask = torch.arange(tokens_of(inputs.student)) < torch.tensor([[1], [2]])
    assert torch.equal(loss_of(case, inputs, mask.to(kind)), loss_of(case, inputs, mask))


@on_tokens
def test_a_mask_of_another_shape_is_refused(case):
    inputs = case.inputs(5, 2)
    tokens = tokens_of(inputs.student)
    for mask in (torch.ones(2, tokens + 1), torch.ones(tokens), torch.ones(2, 1, 1, tokens)):
        with pytest.raises(ValueError, match=rf"{case.name}: the mask \(.*\) does not fit .*\(2, {tokens}\)") as error:
            loss_of(case, inputs, mask)
        assert str(tuple(mask.shape)) in str(error.value)


@on_tokens
def test_batches_may_differ_in_length(case):
    """Nothing may be built that depends on the number of tokens of the batch that came first."""
    objective = case.objective(case.inputs(6, 2))
    for tokens in (1, 2):
        shorter = case.inputs(6, 3).each(lambda x, tokens=tokens: first_tokens(case, x, tokens))
        assert objective(shorter.student, shorter.teacher).shape == (3,)
    assert not objective.state_dict()


def test_all_objectives_on_tokens_are_covered():
    assert {case.name for case in ON_TOKENS} >= {
        "hidden_states",
        "hidden_cosine",
        "feature_map_transfer",
        "attention_scores",
        "attention_distributions",
        "value_relation",
        "self_attention_relations",
    }
    assert all(objectives.registry[case.name].expects for case in ON_TOKENS)
