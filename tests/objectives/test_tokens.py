"""Objectives on the logits of tokens: tokens that do not count, sparse and factored teachers, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from limbeck import objectives
from limbeck.cli import app
from limbeck.core.signals import LinearLogits, TopK
from limbeck.objectives import ForwardKL, MaskedKL, SoftTargets
from tests.objectives.references_of_tokens import forward_kl

both = pytest.mark.parametrize("name", ["forward_kl", "masked_kl"])
MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
TARGET = torch.tensor([[2, -100, 0, -100], [1, -100, -100, -100]])


def logits(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def top_k(teacher: Tensor, count: int) -> TopK:
    values, indices = teacher.softmax(-1).topk(count)
    return TopK(values, indices, 1 - values.sum(-1))


def given(name: str) -> dict[str, Any]:
    return {"mask": MASK, "target": TARGET} if name == "masked_kl" else {"mask": MASK}


def counted(name: str) -> Tensor:
    return MASK.bool() & (TARGET >= 0) if name == "masked_kl" else MASK.bool()


@both
def test_found_by_name_and_listed(name: str) -> None:
    assert name in objectives.names()
    listed = CliRunner().invoke(app, ["methods", "--json"])
    assert listed.exit_code == 0, listed.output
    assert f'"{name}"' in listed.output


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_without_padding_it_is_that_of_soft_targets_for_each_token(temperature: float) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    expected = SoftTargets(temperature=temperature)(s, t)
    torch.testing.assert_close(ForwardKL(temperature=temperature)(s, t), expected)
    every = torch.zeros(2, 4, dtype=torch.int64)
    torch.testing.assert_close(MaskedKL(temperature=temperature)(s, t, target=every), expected)
    assert ForwardKL().temperature == MaskedKL().temperature == 1


@both
def test_class_probabilities_mark_labelled_tokens_by_their_sum(name: str) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    soft = torch.nn.functional.one_hot(TARGET.clamp_min(0), 5).double() * (TARGET >= 0)[..., None]
    objective = objectives.get(name)
    assert torch.equal(objective(s, t, target=soft, mask=MASK), objective(s, t, **given(name)))


@both
def test_top_k_of_all_classes_equals_the_dense_teacher(name: str) -> None:
    s, t = logits(2, 4, 5).requires_grad_(), logits(2, 4, 5, seed=1)
    objective = objectives.get(name)
    dense, sparse = objective(s, t, **given(name)), objective(s, top_k(t, 5), **given(name))
    torch.testing.assert_close(sparse, dense)
    slopes = [torch.autograd.grad(loss.sum(), s)[0] for loss in (dense, sparse)]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert slopes[1][counted(name)].any()
    assert not slopes[1][~counted(name)].any()


def test_top_k_has_its_tail_as_one_more_outcome() -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    sparse = top_k(t, 2)
    loss = ForwardKL()(s, sparse, mask=MASK)
    for item, token in MASK.nonzero().tolist():
        q = s[item, token].softmax(-1)
        p, chosen = sparse.values[item, token].tolist(), sparse.indices[item, token].tolist()
        slow = sum(a * math.log(a / float(q[k])) for a, k in zip(p, chosen, strict=True))
        tail, rest = float(sparse.tail[item, token]), 1 - float(q[chosen].sum())
        assert float(loss[item, token]) == pytest.approx(slow + tail * math.log(tail / rest))
    assert not loss[~MASK.bool()].any()


def test_a_top_k_teacher_must_be_finite_at_real_tokens_only() -> None:
    s, sparse = logits(2, 4, 5), top_k(logits(2, 4, 5, seed=1), 2)
    for part in (sparse.values, sparse.tail):
        part[1, 3] = math.nan
    assert ForwardKL()(s, sparse, mask=MASK).isfinite().all()
    with pytest.raises(ValueError, match="forward_kl: the teacher signal holds NaN or infinity"):
        ForwardKL()(s, sparse)
    sparse.tail[0, 0] = math.inf
    with pytest.raises(ValueError, match="forward_kl: the teacher signal holds NaN or infinity"):
        ForwardKL()(s, sparse, mask=MASK)


@both
def test_factored_logits_are_multiplied_out(name: str) -> None:
    hidden, weight, bias = logits(2, 4, 3), logits(5, 3, seed=1), logits(5, seed=2)
    factored = LinearLogits(hidden, weight, bias)
    t, objective = logits(2, 4, 5, seed=3), objectives.get(name)
    torch.testing.assert_close(objective(factored, t, **given(name)), objective(factored.dense(), t, **given(name)))
    torch.testing.assert_close(objective(t, factored, **given(name)), objective(t, factored.dense(), **given(name)))


@both
def test_a_batch_of_which_nothing_counts_gives_zero_and_a_gradient_of_zero(name: str) -> None:
    s, t = logits(2, 4, 5).requires_grad_(), logits(2, 4, 5, seed=1)
    loss = objectives.get(name)(s, t, mask=torch.zeros(2, 4), target=torch.full((2, 4), -100))
    (gradient,) = torch.autograd.grad(loss.sum(), s)
    assert loss.shape == (2, 4)
    assert not loss.any()
    assert not gradient.any()


def test_the_mask_of_a_text_says_nothing_of_its_one_answer() -> None:
    s, t = logits(2, 5), logits(2, 5, seed=1)
    torch.testing.assert_close(ForwardKL()(s, t, mask=MASK), forward_kl(ForwardKL(), s, t, None, None))


@both
def test_what_does_not_fit_is_refused(name: str) -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    objective = objectives.get(name)
    with pytest.raises(ValueError, match=rf"{name}: the mask \(2, 3\) does not fit the signal \(2, 4, 5\)"):
        objective(s, t, mask=MASK[:, :3], target=TARGET)
    with pytest.raises(ValueError, match=f"{name}: temperature is 0; use a value above 0"):
        objectives.get(name, temperature=0)
    with pytest.raises(ValueError, match=rf"{name}: temperature is 2.0; a TopK teacher .* use 1, or store dense logits"):
        objectives.get(name, temperature=2.0)(s, top_k(t, 2), **given(name))
    with pytest.raises(ValueError, match=rf"{name}: the TopK teacher's values \(2, 3, 2\).* do not fit student \(2, 4, 5\)"):
        objective(s, top_k(t[:, :3], 2), **given(name))
    with pytest.raises(ValueError, match=f"{name}: the TopK teacher's indices exceed the 4 classes"):
        objective(s[..., :4], top_k(t, 5), **given(name))


def test_labels_of_hidden_tokens_are_needed_and_checked() -> None:
    s, t = logits(2, 4, 5), logits(2, 4, 5, seed=1)
    with pytest.raises(ValueError, match="masked_kl: needs labels and got none"):
        MaskedKL()(s, t, mask=MASK)
    with pytest.raises(ValueError, match=r"masked_kl: target \(2,\) does not fit student \(2, 4, 5\)"):
        MaskedKL()(s, t, target=torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match="masked_kl: label 5 is out of range for 5 classes"):
        MaskedKL()(s, t, target=TARGET.where(TARGET != 2, 5))
