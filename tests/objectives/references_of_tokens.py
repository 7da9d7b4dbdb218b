"""The slow references of `references.py`, continued: Transformers, token sequences, embeddings. `REFERENCES` holds all."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import zip_longest

import torch
from torch import Tensor

from tests.objectives.references import REFERENCES, hint, kl, mean, norm, reference, softmax

__all__ = ["REFERENCES"]

# Transformers


def by_token(student: Tensor, teacher: Tensor, compare: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The mean of `compare` over an item's tokens."""
    return torch.stack([mean(compare(a, b) for a, b in zip(s, t, strict=True)) for s, t in zip(student, teacher, strict=True)])


@reference("hidden_states")
def hidden_states(objective, student, teacher, target, index):
    return by_token(student, teacher, lambda a, b: mean((x - y) ** 2 for x, y in zip(a, b, strict=True)))


@reference("hidden_cosine")
def hidden_cosine(objective, student, teacher, target, index):
    return by_token(student, teacher, lambda a, b: 1 - (a * b).sum() / (norm(a) * norm(b)))


@reference("feature_map_transfer")
def feature_map_transfer(objective, student, teacher, target, index):
    def variance(x):
        return mean((v - mean(x)) ** 2 for v in x)

    def normal(x):
        return [(v - mean(x)) / torch.sqrt(variance(x) + 1e-5) for v in x]

    def compare(a, b):
        maps = mean((x - y) ** 2 for x, y in zip(normal(a), normal(b), strict=True))
        level, spread = (mean(a) - mean(b)) ** 2, abs(variance(a) - variance(b))
        return objective.map_weight * maps + objective.mean_weight * level + objective.variance_weight * spread

    return by_token(student, teacher, compare)


@reference("attention_scores")
def attention_scores(objective, student, teacher, target, index):
    return torch.stack(
        [
            mean((a - b) ** 2 for a, b in zip(s.flatten(), t.flatten(), strict=True))
            for s, t in zip(student, teacher, strict=True)
        ]
    )


def by_query(ours: Tensor, theirs: Tensor) -> Tensor:
    """KL(theirs‖ours) of rows [heads, T, T], the mean over heads and queries."""
    pairs = zip(ours.flatten(0, 1), theirs.flatten(0, 1), strict=True)
    return mean(kl(list(p), list(q)) for q, p in pairs)


@reference("attention_distributions")
def attention_distributions(objective, student, teacher, target, index):
    return torch.stack([by_query(s, t) for s, t in zip(student, teacher, strict=True)])


def token_relations(x: Tensor, heads: int | None) -> Tensor:
    """softmax(XXᵀ/√d) of one item, [T, D] or [heads, T, d], in so many heads: [heads, T, T]."""
    each = [x] if x.ndim == 2 else list(x)
    if heads is not None:
        together = torch.stack([torch.cat([head[i] for head in each]) for i in range(len(each[0]))])
        width = together.shape[1] // heads
        each = [together[:, h * width : (h + 1) * width] for h in range(heads)]
    return torch.stack(
        [
            torch.stack([torch.stack(softmax(torch.stack([(a * b).sum() / math.sqrt(len(a)) for b in head]))) for a in head])
            for head in each
        ]
    )


@reference("value_relation")
def value_relation(objective, student, teacher, target, index):
    heads = objective.heads
    pairs = zip(student, teacher, strict=True)
    return torch.stack([by_query(token_relations(s, heads), token_relations(t, heads)) for s, t in pairs])


@reference("self_attention_relations")
def self_attention_relations(objective, student, teacher, target, index):
    return sum(value_relation(objective, s, t, target, index) for s, t in zip(student, teacher, strict=True))


# Token sequences


@reference("forward_kl")
def forward_kl(objective, student, teacher, target, index):
    if student.ndim == 3:
        return torch.stack([forward_kl(objective, s, t, target, index) for s, t in zip(student, teacher, strict=True)])
    T = objective.temperature
    return torch.stack([T**2 * kl(softmax(t, T), softmax(s, T)) for s, t in zip(student, teacher, strict=True)])


@reference("reverse_kl")
def reverse_kl(objective, student, teacher, target, index):
    if student.ndim == 3:
        return torch.stack([reverse_kl(objective, s, t, target, index) for s, t in zip(student, teacher, strict=True)])
    T = objective.temperature
    return torch.stack([T**2 * kl(softmax(s, T), softmax(t, T)) for s, t in zip(student, teacher, strict=True)])


def each_token(student: Tensor, teacher: Tensor, compare: Callable[[list[Tensor], list[Tensor]], Tensor], T=1.0) -> Tensor:
    """`compare` of the teacher's and the student's distribution, for each item or for each of its tokens."""
    if student.ndim == 3:
        return torch.stack([each_token(s, t, compare, T) for s, t in zip(student, teacher, strict=True)])
    return torch.stack([compare(softmax(t, T), softmax(s, T)) for s, t in zip(student, teacher, strict=True)])


def mixed(p: list[Tensor], q: list[Tensor], share: float) -> list[Tensor]:
    return [share * a + (1 - share) * b for a, b in zip(p, q, strict=True)]


@reference("jensen_shannon")
def jensen_shannon(objective, student, teacher, target, index):
    b, T = objective.beta, objective.temperature

    def compare(p, q):
        return T**2 * (b * kl(p, mixed(p, q, b)) + (1 - b) * kl(q, mixed(p, q, b)))

    losses = each_token(student, teacher, compare, T)
    return losses / (b * (1 - b)) if objective.normalized else losses


@reference("skew_kl")
def skew_kl(objective, student, teacher, target, index):
    return each_token(student, teacher, lambda p, q: kl(p, mixed(p, q, objective.alpha)))


@reference("skew_reverse_kl")
def skew_reverse_kl(objective, student, teacher, target, index):
    return each_token(student, teacher, lambda p, q: kl(q, mixed(q, p, objective.alpha)))


@reference("total_variation")
def total_variation(objective, student, teacher, target, index):
    return each_token(student, teacher, lambda p, q: sum(abs(a - b) for a, b in zip(p, q, strict=True)) / 2)


@reference("universal_logit")
def universal_logit(objective, student, teacher, target, index):
    def compare(p, q):
        pairs = zip_longest(sorted(p, reverse=True), sorted(q, reverse=True), fillvalue=p[0].new_zeros(()))
        return sum(abs(a - b) for a, b in pairs)

    return each_token(student, teacher, compare)


@reference("masked_kl")
def masked_kl(objective, student, teacher, target, index):
    losses = forward_kl(objective, student, teacher, target, index)
    labels = target.flatten().tolist()
    counted = [loss if y >= 0 else 0 * loss for loss, y in zip(losses.flatten(), labels, strict=True)]
    return torch.stack(counted).view_as(losses)


# Embeddings


@reference("embedding_mse")
def embedding_mse(objective, student, teacher, target, index):
    return hint(objective, student, teacher, target, index)


@reference("embedding_cosine")
def embedding_cosine(objective, student, teacher, target, index):
    return torch.stack([1 - (s * t).sum() / (norm(s) * norm(t)) for s, t in zip(student, teacher, strict=True)])


@reference("margin_mse")
def margin_mse(objective, student, teacher, target, index):
    return torch.stack(
        [
            mean(((s[0] - a) - (t[0] - b)) ** 2 for a, b in zip(s[1:], t[1:], strict=True))
            for s, t in zip(student, teacher, strict=True)
        ]
    )


# Statistics of a batch


@reference("batchnorm_statistics")
def batchnorm_statistics(objective, student, teacher, target, index):
    means, variances = [], []
    for channel in range(student.shape[2]):
        m = mean(item[0, channel] for item in student)
        means.append(m)
        variances.append(mean(item[1, channel] for item in student) - m**2 - mean(item[2, channel] for item in student))
    loss = norm(torch.stack(means)) + norm(torch.stack(variances))
    return torch.stack([loss for _ in student])


# Between architectures


@reference("adaptive_target")
def adaptive_target(objective, student, teacher, target, index):
    T, gamma, losses = objective.temperature, objective.gamma, []
    for s, t, y in zip(student, teacher, target.tolist(), strict=True):
        p, q = softmax(t, T), softmax(s, T)
        others = [p[c] if objective.label_only else p[c] ** gamma for c in range(len(s))]
        weights = [(1 + p[c]) ** gamma - 1 if c == y else others[c] for c in range(len(s))]
        losses.append(-(T**2) * sum(w * torch.log(x) for w, x in zip(weights, q, strict=True)))
    return torch.stack(losses)


@reference("partial_cross_attention")
def partial_cross_attention(objective, student, teacher, target, index):
    losses = []
    for item in range(len(student[0])):
        attention, relations = [], []
        for head in range(student[0].shape[1]):
            (q, k, v), (tq, tk, tv) = ([x[item, head] for x in side] for side in (student, teacher))
            scale, tokens = math.sqrt(q.shape[-1]), range(len(q))
            for i in tokens:
                ours = softmax(torch.stack([(q[i] * k[j]).sum() / scale for j in tokens]))
                theirs = softmax(torch.stack([(tq[i] * tk[j]).sum() / scale for j in tokens]))
                for d in range(v.shape[-1]):
                    attention.append((sum(ours[j] * v[j, d] for j in tokens) - sum(theirs[j] * tv[j, d] for j in tokens)) ** 2)
                relations += [((v[i] * v[j]).sum() / scale - (tv[i] * tv[j]).sum() / scale) ** 2 for j in tokens]
        losses.append(mean(attention) + mean(relations))
    return torch.stack(losses)
