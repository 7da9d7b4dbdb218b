"""Padding never changes a loss: in every objective that reads a mask, and through two encoders and a criterion."""

from __future__ import annotations

import dis
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from limbeck import Criterion, Term, objectives
from limbeck.objectives.spans import SpanObjective
from tests.objectives.cases import CASES, Case, Inputs, Signal, each_part, gradients, parts

# --- objective by objective ------------------------------------------------------------------------------------------------


def reads_the_mask(case: Case) -> bool:
    """Whether its mathematics looks at `mask` at all, and the case has an axis of tokens."""
    reads = any(step.opname.startswith("LOAD") and step.argval == "mask" for step in dis.get_instructions(case.kind.compare))
    return reads and not (case.kind.knowledge == "output" and parts(case.inputs(0).student)[0].ndim == 2)


MASKED = [case for case in CASES if reads_the_mask(case)]


def token_axes(case: Case) -> tuple[int, ...]:
    if case.name in ("attention_scores", "attention_distributions"):
        return (-2, -1)
    return (-1,) if issubclass(case.kind, SpanObjective) else (-2,)


def longer(signal: Signal, axes: Sequence[int], extra: int, generator: torch.Generator, wild: Sequence[float]) -> Signal:
    """The same tokens and `extra` more behind them, of random numbers and of `wild` ones."""

    def append(x: Tensor) -> Tensor:
        shape = list(x.shape)
        for axis in axes:
            shape[axis] += extra
        garbage = 50 * torch.randn(shape, generator=generator, dtype=x.dtype)
        for value in wild:
            garbage[torch.rand(shape, generator=generator) < 0.1] = value
        garbage[tuple(map(slice, x.shape))] = x
        return garbage

    return each_part(signal, append)


def at_real_tokens(gradient: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """What a gradient holds at the tokens that were there before, and the rest of it."""
    rest = torch.ones_like(gradient, dtype=torch.bool)
    rest[tuple(map(slice, like.shape))] = False
    return gradient[~rest].view_as(like), gradient[rest]


def padded(inputs: Inputs, case: Case, extra: int, generator: torch.Generator, wild: Sequence[float]) -> Inputs:
    sides = [longer(side, token_axes(case), extra, generator, wild) for side in (inputs.student, inputs.teacher)]
    target = inputs.target
    if target.ndim == 2 and not issubclass(case.kind, SpanObjective):  # a label for each token
        target = torch.cat([target, target.new_zeros(len(target), extra)], 1)  # class 0: the mask alone tells padding
    return replace(inputs, student=sides[0], teacher=sides[1], target=target)


@pytest.mark.parametrize("case", MASKED, ids=str)
@given(
    seed=st.integers(0, 10_000),
    extra=st.integers(1, 5),
    wild=st.lists(st.sampled_from([math.nan, math.inf, -math.inf, 1e30, -1e30]), max_size=3),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_padding_changes_no_objective(case: Case, seed: int, extra: int, wild: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    short = case.inputs(seed, 3).learning()
    tokens = parts(short.student)[0].shape[token_axes(case)[0]]
    objective = case.objective(short)
    mask = torch.arange(tokens + extra).expand(3, -1) < tokens
    long = padded(short, case, extra, generator, wild).learning()
    loss = objective(short.student, short.teacher, target=short.target, mask=mask[:, :tokens])
    found = objective(long.student, long.teacher, target=long.target, mask=mask)
    if loss.ndim == 2:
        assert not found[:, tokens:].any()
        found = found[:, :tokens]
    torch.testing.assert_close(found, loss, rtol=1e-9, atol=1e-12)
    slopes = zip(gradients(found, long.student), gradients(loss, short.student), strict=True)
    for (real, rest), expected in ((at_real_tokens(ours, theirs), theirs) for ours, theirs in slopes):
        torch.testing.assert_close(real, expected, rtol=1e-9, atol=1e-12)
        assert rest.numel()
        assert (rest == 0).all()


def test_every_kind_of_objective_that_reads_a_mask_is_among_them() -> None:
    names = {case.name for case in MASKED}
    assert names >= {"hidden_states", "attention_scores", "self_attention_relations", "value_relation", "span_targets"}
    assert names >= {"span_soft_targets", "forward_kl", "masked_kl", "feature_map_transfer", "hidden_cosine"}
    assert "hint" not in names


# --- through a criterion ---------------------------------------------------------------------------------------------------

LENGTHS = torch.tensor([5, 9, 2, 7])
STATES = tuple(f"{kind}(-1)" for kind in ("queries", "keys", "values"))


def term(name: str, student: Any = "student", teacher: Any = None, weight: float = 1.0, **hyperparameters: Any) -> Term:
    return Term(objectives.get(name, **hyperparameters), student=student, teacher=teacher, weight=weight)


def tinybert() -> list[Term]:
    pairs = [(0, 0), (1, 2), (2, 4)]
    hidden = [term("hidden_states", f"hidden({ours})", f"hidden({theirs})") for ours, theirs in pairs]
    scores = [term("attention_scores", f"scores({ours})", f"scores({theirs})") for ours, theirs in pairs[1:]]
    return [*hidden, *scores, term("soft_targets", temperature=1)]


def minilm() -> list[Term]:
    return [
        term("attention_distributions", "attention(-1)", "attention(-1)"),
        term("value_relation", "values(-1)", "values(-1)"),
    ]


def minilm_v2() -> list[Term]:
    return [term("self_attention_relations", STATES, STATES, heads=8)]


def distilbert() -> list[Term]:
    hidden = [term(name, "hidden(-1)", "hidden(-1)") for name in ("hidden_cosine", "feature_map_transfer")]
    return [term("forward_kl", weight=5, temperature=2), term("masked_kl"), term("hard_targets", weight=2), *hidden]


def spans() -> list[Term]:
    return [term("span_targets"), term("span_soft_targets", temperature=3)]


def made(head: str, layers: int, hidden: int, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    sizes = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": 2 * hidden, "num_attention_heads": 4}
    config = transformers.BertConfig(vocab_size=40, max_position_embeddings=32, num_labels=2, **sizes)
    model: nn.Module = getattr(transformers, f"BertFor{head}")(config).double().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.2)  # as initialised, attention is nearly even
    return model


def batch_of(tokens: int, target: Tensor, seed: int) -> dict[str, Tensor]:
    """The same texts in `tokens` places each, with random ids of random types behind them."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(5, 40, (len(LENGTHS), int(LENGTHS.max())), generator=draw)
    noise = torch.Generator().manual_seed(seed)
    mask = torch.arange(tokens) < LENGTHS[:, None]
    filled = torch.randint(0, 40, mask.shape, generator=noise)
    filled[:, : ids.shape[1]] = torch.where(mask[:, : ids.shape[1]], ids, filled[:, : ids.shape[1]])
    types = torch.randint(0, 2, mask.shape, generator=noise).where(~mask, 0)
    return {"input_ids": filled, "token_type_ids": types, "attention_mask": mask.long(), "labels": target}


def hidden_words(tokens: int) -> Tensor:
    target = torch.full((len(LENGTHS), tokens), objectives.UNLABELLED)
    for item, place, word in ((0, 1, 7), (0, 4, 30), (1, 8, 5), (3, 0, 39)):
        target[item, place] = word
    return target


def labels(head: str, tokens: int) -> Tensor:
    if head == "MaskedLM":
        return hidden_words(tokens)
    return torch.tensor([[1, 3], [0, 8], [1, 1], [2, 6]]) if head == "QuestionAnswering" else torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("terms", "head"),
    [
        (tinybert, "SequenceClassification"),
        (minilm, "SequenceClassification"),
        (minilm_v2, "SequenceClassification"),
        (distilbert, "MaskedLM"),
        (spans, "QuestionAnswering"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_batch_padded_further_gives_the_same_loss_and_gradients(terms: Any, head: str, implementation: str) -> None:
    same_width = head == "MaskedLM"  # feature maps are compared as they are
    teacher, student = made(head, 4, 32, 0), made(head, 2, 32 if same_width else 16, 1)
    for model in (teacher, student):
        model.set_attn_implementation(implementation)  # type: ignore[operator]
    shortest = int(LENGTHS.max())
    example = batch_of(shortest, labels(head, shortest), 0)
    criterion = Criterion(terms(), student, teacher, example=example).eval()
    learning = {**dict(student.named_parameters()), **{f"criterion.{n}": p for n, p in criterion.named_parameters()}}
    told: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    for seed, tokens in enumerate((shortest, shortest + 1, shortest + 7)):
        values = criterion(batch_of(tokens, labels(head, tokens), seed))
        slopes = torch.autograd.grad(values["loss"], list(learning.values()), allow_unused=True)
        told.append((values, {name: slope for name, slope in zip(learning, slopes, strict=True) if slope is not None}))
    (losses, expected), *others = told
    assert losses["loss"].dtype == torch.float64
    assert all(float(value.detach()) > 0 for value in losses.values())
    for values, slopes in others:
        for name in losses:
            torch.testing.assert_close(values[name], losses[name], rtol=1e-9, atol=0)
        assert slopes.keys() == expected.keys()
        for name, slope in slopes.items():
            limit = 1e-9 * float(expected[name].abs().max()) + 1e-13
            torch.testing.assert_close(slope, expected[name], rtol=1e-9, atol=limit)
    assert sum(bool(slope.any()) for slope in expected.values()) > len(expected) / 2
    criterion.close()


def test_the_comparison_through_a_criterion_sees_padding_that_counts() -> None:
    """Without the mask of real tokens the same batches differ: the test above can fail."""
    teacher, student = made("SequenceClassification", 4, 32, 0), made("SequenceClassification", 2, 16, 1)
    shortest = int(LENGTHS.max())
    target = labels("SequenceClassification", shortest)
    criterion = Criterion(tinybert(), student, teacher, example=batch_of(shortest, target, 0)).eval()
    values = []
    for seed, tokens in enumerate((shortest, shortest + 7)):
        batch = batch_of(tokens, target, seed)
        batch["attention_mask"] = torch.ones_like(batch["attention_mask"])
        values.append(float(criterion(batch)["hidden_states.1"].detach()))
    assert abs(values[0] - values[1]) > 1e-3 * values[0]
    criterion.close()
