"""Hidden states, attention and relations between tokens: heads, widths, zero probabilities, memory, and whole models."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from limbeck import Criterion, Term
from limbeck.objectives import (
    AttentionDistributions,
    AttentionScores,
    FeatureMapTransfer,
    HiddenCosine,
    HiddenStates,
    SelfAttentionRelations,
    ValueRelation,
)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_hidden_losses_do_not_shrink_with_padding():
    """Toolkits average over the whole batch, padding included."""
    s, t = normal(1, 2, 4), normal(1, 2, 4, seed=1)
    padded = [F.pad(x, (0, 0, 0, 30)) for x in (s, t)]
    mask = torch.arange(32).expand(1, -1) < 2
    for objective in (HiddenStates(), HiddenCosine(), FeatureMapTransfer()):
        torch.testing.assert_close(objective(*padded, mask=mask), objective(s, t))


def test_hidden_cosine_agrees_with_torch():
    s, t = normal(3, 5, 4), normal(3, 5, 4, seed=1)
    torch.testing.assert_close(HiddenCosine()(s, t), (1 - F.cosine_similarity(s, t, dim=2)).mean(1))


def test_a_zero_vector_has_a_cosine_of_zero_and_a_small_gradient():
    zero, one = torch.zeros(1, 2, 3, requires_grad=True), torch.ones(1, 2, 3, requires_grad=True)
    for s, t in ((zero, one), (one, zero), (zero, zero.detach())):
        loss = HiddenCosine()(s, t)
        (gradient,) = torch.autograd.grad(loss.sum(), s)
        assert loss.item() == pytest.approx(1)
        assert gradient.abs().max() <= 1


def test_feature_map_transfer_weighs_its_three_parts():
    s, t = normal(2, 3, 6), normal(2, 3, 6, seed=1)
    maps = (F.layer_norm(s, (6,)) - F.layer_norm(t, (6,))).square().mean((1, 2))
    means = (s.mean(2) - t.mean(2)).square().mean(1)
    variances = (s.var(2, correction=0) - t.var(2, correction=0)).abs().mean(1)
    torch.testing.assert_close(FeatureMapTransfer()(s, t), 100 * maps + 5000 * means + 5 * variances)
    only = FeatureMapTransfer(mean_weight=0, variance_weight=0, weight=1)
    torch.testing.assert_close(only(3 * s + 2, t), only(s, t), rtol=1e-3, atol=0)  # but for ε


def test_scores_at_padding_are_neither_compared_nor_counted():
    """What a model adds at padded keys would otherwise be most of the loss, or, set to zero, thin it out."""
    s, t = normal(1, 2, 3, 3), normal(1, 2, 3, 3, seed=1)
    mask = torch.tensor([[1, 1, 0]])
    expected = (s - t)[:, :, :2, :2].square().mean((1, 2, 3))
    for shut in (-torch.inf, torch.finfo(torch.float64).min, 0.0):
        ours, theirs = (x.masked_fill(mask[:, None, None] == 0, shut) for x in (s, t))
        torch.testing.assert_close(AttentionScores()(ours, theirs, mask=mask), expected)


def test_distributions_agree_with_the_divergence_of_their_logarithms():
    s, t = normal(2, 3, 4, 4), normal(2, 3, 4, 4, seed=1)
    expected = F.kl_div(s.log_softmax(3), t.log_softmax(3), reduction="none", log_target=True).sum(3).mean((1, 2))
    torch.testing.assert_close(AttentionDistributions()(s.softmax(3), t.softmax(3)), expected)


def test_the_gradient_of_distributions_vanishes_at_equality_behind_a_softmax():
    scores = normal(2, 3, 4, 4).requires_grad_()
    loss = AttentionDistributions()(scores.softmax(3), scores.detach().softmax(3))
    assert torch.autograd.grad(loss.sum(), scores)[0].abs().max() < 1e-15


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_probability_of_zero_leaves_loss_and_gradient_finite(dtype):
    t = torch.tensor([[0.5, 0.5], [0.0, 1.0]], dtype=dtype)[None, None]
    for value in (0.0, 1e-40, 1e-29):
        s = torch.tensor([[1 - value, value], [0.0, 1.0]], dtype=dtype)[None, None].requires_grad_()
        loss = AttentionDistributions()(s, t)
        (gradient,) = torch.autograd.grad(1e6 * loss.sum(), s)  # a loss scale of mixed precision
        assert 10 < loss.item() < 40
        assert gradient.isfinite().all()
        assert gradient[0, 0, 1, 0] == 0  # 0 log 0 = 0


def test_scores_in_place_of_distributions_are_refused():
    scores, given = normal(2, 3, 4, 4), normal(2, 3, 4, 4).softmax(3)
    with pytest.raises(ValueError, match=r"attention_distributions: .* values from -.*`attention_scores`"):
        AttentionDistributions()(given, scores)
    with pytest.raises(ValueError, match=r"attention_distributions: .* values from 2 to 2;"):
        AttentionDistributions()(given, torch.full_like(given, 2))


@pytest.mark.parametrize("objective", [AttentionScores(), AttentionDistributions(), ValueRelation()], ids=lambda o: o.name)
def test_other_head_counts_are_sent_to_minilm_v2(objective):
    s, t = torch.full((2, 3, 4, 4), 0.25), torch.full((2, 6, 4, 4), 0.25)
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and teacher \(2, 6, 4, 4\).*`self_attention_relations`"):
        objective(s, t)


@pytest.mark.parametrize("objective", [AttentionScores(), AttentionDistributions()], ids=lambda o: o.name)
def test_attention_is_square(objective):
    with pytest.raises(ValueError, match=r"equal shapes \[batch, heads, tokens, tokens\] are needed"):
        objective(torch.full((2, 3, 4, 5), 0.2), torch.full((2, 3, 4, 5), 0.2))


@pytest.mark.parametrize("scale", [1.0, 0.1, 0.01])
def test_small_divergences_keep_their_digits(scale):
    """At the end of a training student and teacher nearly agree; what float32 rounds away must not be what is left."""
    t = normal(2, 6, 32, 8).float()
    s = t + scale * normal(2, 6, 32, 8, seed=1).float()
    single, precise = (ValueRelation()(s.to(dtype), t.to(dtype)) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(single.double(), precise, rtol=1e-5, atol=0)
    p, q = ((x @ x.mT).softmax(3) for x in (t, s))
    single, precise = (AttentionDistributions()(q.to(dtype), p.to(dtype)) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(single.double(), precise, rtol=1e-5, atol=0)
    hidden = [x.transpose(1, 2).flatten(2) for x in (s, t)]
    single, precise = (HiddenCosine()(*(x.to(dtype) for x in hidden)) for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(single.double(), precise, rtol=1e-5, atol=0)


TRANSFORMER_LAYER = "bert.encoder.layer.{}"
TAPS = tuple(f"{TRANSFORMER_LAYER}.attention.self.{part}" for part in ("query", "key", "value"))


def bert(width: int, layers: int, heads: int) -> nn.Module:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(width)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=32,
        max_position_embeddings=16,
        num_labels=2,
    )
    return transformers.BertForSequenceClassification(config).eval()


def sentences(lengths: list[int], padded_to: int) -> dict[str, torch.Tensor]:
    """Sentence i is the same whatever it is padded to."""
    ids = torch.zeros(len(lengths), padded_to, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length] = torch.randint(1, 50, (length,), generator=torch.Generator().manual_seed(row))
    mask = (torch.arange(padded_to) < torch.tensor(lengths)[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.zeros(len(lengths), dtype=torch.long)}


def layer(taps: str | tuple[str, ...], number: int) -> str | tuple[str, ...]:
    return taps.format(number) if isinstance(taps, str) else tuple(tap.format(number) for tap in taps)


@pytest.mark.parametrize(
    ("objective", "taps", "widths", "learned"),
    [
        (HiddenStates(), TRANSFORMER_LAYER, (16, 24), [(24, 16), (24,)]),
        (HiddenStates(), TRANSFORMER_LAYER, (16, 16), []),
        (HiddenCosine(), TRANSFORMER_LAYER, (16, 24), [(24, 16), (24,)]),
        (FeatureMapTransfer(), TRANSFORMER_LAYER, (16, 24), [(24, 16), (24,)]),
        (FeatureMapTransfer(), TRANSFORMER_LAYER, (16, 16), []),
        (ValueRelation(heads=4), TAPS[2], (16, 24), []),
        (SelfAttentionRelations(heads=8), TAPS, (16, 24), []),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_in_whole_models_padding_changes_nothing(objective, taps, widths, learned):
    """What is built fits batches of every length: nothing but a linear map of the last axis, where widths differ."""
    student, teacher = bert(widths[0], 2, 2), bert(widths[1], 3, 4)
    term = Term(objective, student=layer(taps, 1), teacher=layer(taps, 2))
    lengths = [4, 2, 3]
    criterion = Criterion([term], student, teacher, example=sentences(lengths, 9))  # nine tokens: a square grid, to be ignored
    assert [tuple(parameter.shape) for parameter in criterion.parameters()] == learned
    losses = [criterion(sentences(lengths, padded_to))["loss"] for padded_to in (4, 9, 16)]
    assert losses[0] > 0
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=0)
    torch.testing.assert_close(losses[2], losses[0], rtol=1e-5, atol=0)
    losses[2].backward()
    assert all(parameter.grad.isfinite().all() for parameter in criterion.parameters())
    assert student.bert.encoder.layer[0].attention.self.value.weight.grad.any()


def test_attention_of_whole_models():
    models = [bert(16, 2, 4), bert(24, 2, 4)]
    for model in models:
        model.config._attn_implementation = "eager"
    losses = []
    for padded_to in (4, 9):
        batch = sentences([4, 2], padded_to)
        mask = batch["attention_mask"]
        with torch.no_grad():
            s, t = (m.bert(batch["input_ids"], mask, output_attentions=True).attentions[-1] for m in models)
        losses.append(AttentionDistributions()(s, t, mask=mask))
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-5, atol=0)
    assert (losses[0] > 0).all()


def test_models_with_other_heads_are_told_what_to_do():
    term = Term(ValueRelation(heads=5), student=layer(TAPS[2], 0), teacher=layer(TAPS[2], 0))
    with pytest.raises(ValueError, match=r"heads is 5, which does not divide the widths 16 and 24 .*; use one of 1, 2, 4, 8"):
        Criterion([term], bert(16, 1, 2), bert(24, 1, 4), example=sentences([3, 2], 4))
