"""Each objective once more, slowly and obviously: loops over items, channels and classes, straight from the formulas.

`REFERENCES[name](objective, student, teacher, target, index)` returns the loss of each item, differentiable by autograd.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import torch
from torch import Tensor

REFERENCES: dict[str, Callable[..., Tensor]] = {}


def reference(name: str) -> Callable[..., Any]:
    def add(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        REFERENCES[name] = function
        return function

    return add


def mean(values: Any) -> Tensor:
    values = list(values)
    return sum(values) / len(values)


def softmax(z: Tensor, temperature: float = 1.0) -> list[Tensor]:
    powers = [torch.exp((x - z.detach().max()) / temperature) for x in z]
    return [power / sum(powers) for power in powers]


def kl(p: list[Tensor], q: list[Tensor]) -> Tensor:
    return sum(a * (torch.log(a) - torch.log(b)) for a, b in zip(p, q, strict=True))


def huber(x: Tensor) -> Tensor:
    return x**2 / 2 if abs(x) <= 1 else abs(x) - 0.5


def norm(x: Tensor) -> Tensor:
    return torch.sqrt(sum(v**2 for v in x))


def rows(x: Tensor) -> list[Tensor]:
    return [item.flatten() for item in x]


def pearson(x: list[Tensor], y: list[Tensor]) -> Tensor:
    x, y = [a - mean(x) for a in x], [b - mean(y) for b in y]
    covariance = sum(a * b for a, b in zip(x, y, strict=True))
    return covariance / torch.sqrt(sum(a**2 for a in x) * sum(b**2 for b in y))


# Outputs


def cross_entropy(z: Tensor, y: int) -> Tensor:
    return -torch.log(softmax(z)[y])


@reference("hard_targets")
def hard_targets(objective, student, teacher, target, index):
    return torch.stack([cross_entropy(s, int(y)) for s, y in zip(student, target, strict=True)])


def probability(z: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-z))


@reference("binary_cross_entropy")
def binary_cross_entropy(objective, student, teacher, target, index):
    def loss(s, y):
        return 0 * s if y == -100 else -torch.log(probability(s) if y == 1 else 1 - probability(s))

    return torch.stack([sum(loss(s, int(y)) for s, y in zip(*item, strict=True)) for item in zip(student, target, strict=True)])


@reference("binary_soft_targets")
def binary_soft_targets(objective, student, teacher, target, index):
    def divergence(s, t):
        p, q = probability(t / objective.temperature), probability(s / objective.temperature)
        return objective.temperature**2 * kl([p, 1 - p], [q, 1 - q])

    return torch.stack(
        [sum(divergence(s, t) for s, t in zip(*item, strict=True)) for item in zip(student, teacher, strict=True)]
    )


@reference("soft_targets")
def soft_targets(objective, student, teacher, target, index):
    def ready(z):
        if not objective.standardize:
            return z
        m = mean(z)
        return torch.stack([(x - m) / torch.sqrt(mean((x - m) ** 2 for x in z)) for x in z])

    T = objective.temperature
    pairs = zip(student, teacher, strict=True)
    return torch.stack([T**2 * kl(softmax(ready(t), T), softmax(ready(s), T)) for s, t in pairs])


@reference("logit_mse")
def logit_mse(objective, student, teacher, target, index):
    return torch.stack([mean((a - b) ** 2 for a, b in zip(s, t, strict=True)) for s, t in zip(student, teacher, strict=True)])


@reference("teacher_argmax")
def teacher_argmax(objective, student, teacher, target, index):
    return torch.stack([cross_entropy(s, int(t.argmax())) for s, t in zip(student, teacher, strict=True)])


@reference("decoupled")
def decoupled(objective, student, teacher, target, index):
    T, losses = objective.temperature, []
    for s, t, y in zip(student, teacher, target.tolist(), strict=True):
        p, q = softmax(t, T), softmax(s, T)
        others = [c for c in range(len(s)) if c != y]
        binary = kl([p[y], 1 - p[y]], [q[y], 1 - q[y]])
        rest = kl(softmax(t[others], T), softmax(s[others], T))
        losses.append(T**2 * (objective.alpha * binary + objective.beta * rest))
    return torch.stack(losses)


@reference("dist")
def dist(objective, student, teacher, target, index):
    T = objective.temperature
    q, p = [softmax(s, T) for s in student], [softmax(t, T) for t in teacher]
    columns = mean(1 - pearson([r[c] for r in q], [r[c] for r in p]) for c in range(student.shape[1]))
    return torch.stack(
        [T**2 * (objective.beta * (1 - pearson(a, b)) + objective.gamma * columns) for a, b in zip(q, p, strict=True)]
    )


@reference("weighted_soft_labels")
def weighted_soft_labels(objective, student, teacher, target, index):
    T, losses = objective.temperature, []
    for s, t, y in zip(student, teacher, target.tolist(), strict=True):
        weight = 1 - math.exp(-cross_entropy(s, y).item() / cross_entropy(t, y).item())
        soft = -sum(a * torch.log(b) for a, b in zip(softmax(t, T), softmax(s, T), strict=True))
        losses.append(weight * T**2 * soft)
    return torch.stack(losses)


@reference("span_targets")
def span_targets(objective, student, teacher, target, index):
    pairs = zip(student, target.tolist(), strict=True)
    return torch.stack([mean(cross_entropy(z, y) for z, y in zip(s, labels, strict=True)) for s, labels in pairs])


@reference("span_soft_targets")
def span_soft_targets(objective, student, teacher, target, index):
    both = [soft_divergences(s, t, objective.temperature) for s, t in zip(student, teacher, strict=True)]
    return torch.stack([mean(divergences) for divergences in both])


def soft_divergences(student, teacher, T):
    return [T**2 * kl(softmax(t, T), softmax(s, T)) for s, t in zip(student, teacher, strict=True)]


@reference("squared_error")
def squared_error(objective, student, teacher, target, index):
    return torch.stack([(s.reshape(()) - y) ** 2 for s, y in zip(student, target, strict=True)])


# Features


@reference("hint")
def hint(objective, student, teacher, target, index):
    return torch.stack(
        [mean((a - b) ** 2 for a, b in zip(s, t, strict=True)) for s, t in zip(rows(student), rows(teacher), strict=True)]
    )


@reference("attention_transfer")
def attention_transfer(objective, student, teacher, target, index):
    def attention(maps):
        q = [sum(abs(m[h, w]) ** objective.power for m in maps) for h, w in positions(maps)]
        return [v / norm(q) for v in q]

    return torch.stack(
        [
            mean((a - b) ** 2 for a, b in zip(attention(s), attention(t), strict=True))
            for s, t in zip(student, teacher, strict=True)
        ]
    )


def positions(maps: Tensor) -> list[tuple[int, int]]:
    return list(product(range(maps.shape[-2]), range(maps.shape[-1])))


@reference("neuron_selectivity")
def neuron_selectivity(objective, student, teacher, target, index):
    def k(x, y):
        x, y = x.flatten() / norm(x.flatten()), y.flatten() / norm(y.flatten())
        return sum(a * b for a, b in zip(x, y, strict=True)) ** 2

    def both(x, y):
        return mean(k(a, b) for a, b in product(x, y))

    return torch.stack([both(t, t) + both(s, s) - 2 * both(s, t) for s, t in zip(student, teacher, strict=True)])


@reference("flow")
def flow(objective, student, teacher, target, index):
    def pooled(maps, height, width):
        bins = [[_bin(i, n, size) for i in range(n)] for n, size in zip((height, width), maps.shape[1:], strict=True)]
        return [[[m[h, w].max() for w in bins[1]] for h in bins[0]] for m in maps]

    def _bin(i, n, size):
        return slice(i * size // n, -(-(i + 1) * size // n))

    def g(first, second):
        H, W = min(first.shape[1], second.shape[1]), min(first.shape[2], second.shape[2])
        x, y = pooled(first, H, W), pooled(second, H, W)
        return [sum(a[h][w] * b[h][w] for h, w in product(range(H), range(W))) / (H * W) for a, b in product(x, y)]

    losses = []
    for i in range(len(student[0])):
        ours, theirs = g(*[part[i] for part in student]), g(*[part[i] for part in teacher])
        losses.append(mean((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)))
    return torch.stack(losses)


@reference("channelwise")
def channelwise(objective, student, teacher, target, index):
    T = objective.temperature
    return torch.stack(
        [
            T**2 * mean(kl(softmax(b, T), softmax(a, T)) for a, b in zip(s.flatten(1), t.flatten(1), strict=True))
            for s, t in zip(student, teacher, strict=True)
        ]
    )


@reference("standardized_features")
def standardized_features(objective, student, teacher, target, index):
    def scored(x):
        channels = []
        for c in range(x.shape[1]):
            values = list(x[:, c].flatten())
            m = mean(values)
            channels.append((x[:, c] - m) / torch.sqrt(mean((v - m) ** 2 for v in values)))
        return torch.stack(channels, dim=1)

    return hint(None, scored(student), scored(teacher), None, None) / 2


@reference("variational")
def variational(objective, student, teacher, target, index):
    variance = [torch.log(1 + torch.exp(r)) + 1e-5 for r in objective.rho]
    losses = []
    for s, t in zip(student, teacher, strict=True):
        terms = [
            (torch.log(variance[c]) + (b - a) ** 2 / variance[c]) / 2
            for c in range(len(s))
            for a, b in zip(s[c].flatten(), t[c].flatten(), strict=True)
        ]
        losses.append(mean(terms))
    return torch.stack(losses)


@reference("margin_features")
def margin_features(objective, student, teacher, target, index):
    margin = []
    for c in range(teacher.shape[1]):
        negative = [x for x in teacher[:, c].flatten() if x < 0]
        margin.append(mean(negative) if negative else torch.tensor(0.0, dtype=teacher.dtype))
    losses = []
    for s, t in zip(student, teacher, strict=True):
        terms = []
        for c in range(len(s)):
            for a, b in zip(s[c].flatten(), t[c].flatten(), strict=True):
                b = max(b, margin[c])
                terms.append(0 * a if a <= b <= 0 else (a - b) ** 2)
        losses.append(mean(terms))
    return torch.stack(losses)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolution of [B, C, H, W] with an odd kernel, zeros around the map."""
    pad = weight.shape[-1] // 2
    padded = torch.nn.functional.pad(x, [pad] * 4)
    size = weight.shape[-1]
    out = [
        [(padded[:, None, :, h : h + size, w : w + size] * weight).sum((2, 3, 4)) for w in range(x.shape[3])]
        for h in range(x.shape[2])
    ]
    y = torch.stack([torch.stack(line, dim=-1) for line in out], dim=-2)
    return y if bias is None else y + bias[:, None, None]


@reference("masked_generative")
def masked_generative(objective, student, teacher, target, index):
    first, _, second = objective.generator
    hidden = convolve(student, first.weight, first.bias)
    return hint(None, convolve(hidden * (hidden > 0), second.weight, second.bias), teacher, None, None)


@reference("review")
def review(objective, student, teacher, target, index):
    def normalised(x, layer):  # evaluation mode
        shape = (-1, 1, 1)
        centred = (x - layer.running_mean.view(shape)) / torch.sqrt(layer.running_var.view(shape) + layer.eps)
        return centred * layer.weight.view(shape) + layer.bias.view(shape)

    def pooled(x, size):
        def edges(i, n):
            return slice(i * n // size, -(-(i + 1) * n // size))

        h, w = x.shape[2:]
        cells = [[x[:, :, edges(i, h), edges(j, w)].mean((2, 3)) for j in range(size)] for i in range(size)]
        return torch.stack([torch.stack(line, dim=-1) for line in cells], dim=-2)

    def enlarged(x, h, w):
        lines = [i * x.shape[2] // h for i in range(h)]
        columns = [j * x.shape[3] // w for j in range(w)]
        return x[:, :, lines][:, :, :, columns]

    fused, total = None, 0
    for level in reversed(range(len(student))):
        fusion = objective.fusions[level]
        x = normalised(convolve(student[level], fusion.inward[0].weight, None), fusion.inward[1])
        if fused is not None:
            fused = enlarged(fused, *x.shape[2:])
            share = convolve(torch.cat([x, fused], 1), fusion.attention[0].weight, fusion.attention[0].bias)
            share = 1 / (1 + torch.exp(-share))
            x = x * share[:, :1] + fused * share[:, 1:]
        fused = x
        out = normalised(convolve(x, fusion.outward[0].weight, None), fusion.outward[1])
        sizes = [size for size in (4, 2, 1) if size < min(out.shape[2:])]
        weights = [2.0**-i for i in range(len(sizes) + 1)]
        errors = [(out - teacher[level]) ** 2]
        errors += [(pooled(out, size) - pooled(teacher[level], size)) ** 2 for size in sizes]
        total = total + sum(w * e.mean((1, 2, 3)) for w, e in zip(weights, errors, strict=True)) / sum(weights)
    return total


# Relations


def distances(x: Tensor) -> list[list[Tensor]]:
    items = rows(x)
    zero = 0 * items[0].sum()
    d = [[zero if torch.equal(a, b) else norm(a - b) for b in items] for a in items]
    mu = mean(v for line in d for v in line if v > 0)
    return [[v / mu for v in line] for line in d]


def by_row(ours: list[list[Tensor]], theirs: list[list[Tensor]], compare: Any) -> Tensor:
    return torch.stack([mean(compare(a, b) for a, b in zip(x, y, strict=True)) for x, y in zip(ours, theirs, strict=True)])


def cosines(x: Tensor) -> list[list[Tensor]]:
    items = rows(x)
    return [[(a * b).sum() / (norm(a) * norm(b)) for b in items] for a in items]


@reference("rkd_distance")
def rkd_distance(objective, student, teacher, target, index):
    return by_row(distances(student), distances(teacher), lambda a, b: huber(a - b))


def angles(x: Tensor) -> list[list[Tensor]]:
    items = rows(x)

    def e(i, j):
        difference = items[j] - items[i]
        return difference if torch.equal(items[i], items[j]) else difference / norm(difference)

    N = range(len(items))
    return [[(e(i, j) * e(i, k)).sum() for j in N for k in N] for i in N]


@reference("rkd_angle")
def rkd_angle(objective, student, teacher, target, index):
    return by_row(angles(student), angles(teacher), lambda a, b: huber(a - b))


@reference("rkd_cosine")
def rkd_cosine(objective, student, teacher, target, index):
    return by_row(cosines(student), cosines(teacher), lambda a, b: huber(a - b))


def similarities(items: Any) -> list[list[Tensor]]:
    G = [[sum(a * b) for b in items] for a in items]
    return [[v / norm(line) for v in line] for line in G]


@reference("similarity_preserving")
def similarity_preserving(objective, student, teacher, target, index):
    return by_row(similarities(rows(student)), similarities(rows(teacher)), lambda a, b: (a - b) ** 2)


@reference("probabilistic_transfer")
def probabilistic_transfer(objective, student, teacher, target, index):
    def neighbours(x):
        shifted = [[(1 + c) / 2 for c in line] for line in cosines(x)]
        return [[v / sum(line) for v in line] for line in shifted]

    return by_row(neighbours(student), neighbours(teacher), lambda q, p: p * torch.log((p + 1e-7) / (q + 1e-7)))


def across(ours, theirs):
    return [[(a * b).sum() / (norm(a) * norm(b)) for b in rows(theirs)] for a in rows(ours)]


@reference("cross_similarity")
def cross_similarity(objective, student, teacher, target, index):
    s, t = across(student, teacher), across(teacher, teacher)
    if objective.temperature is None:
        return by_row(s, t, lambda a, b: (a - b) ** 2)

    def divergences(s, t):
        s, t = ([softmax(torch.stack(tuple(line)), objective.temperature) for line in lines] for lines in (s, t))
        return torch.stack([kl(p, q) for p, q in zip(t, s, strict=True)])

    columns = [list(zip(*lines, strict=True)) for lines in (s, t)]
    return (divergences(s, t) + divergences(*columns)) / 2


@reference("info_nce")
def info_nce(objective, student, teacher, target, index):
    powers = [[torch.exp(c / objective.temperature) for c in line] for line in across(student, teacher)]
    N = range(len(powers))
    found = [-torch.log(powers[i][i] / sum(powers[i])) - torch.log(powers[i][i] / sum(powers[j][i] for j in N)) for i in N]
    return torch.stack(found) / 2


@reference("correlation_congruence")
def correlation_congruence(objective, student, teacher, target, index):
    gamma = objective.gamma

    def kernel(x):
        orders = range(objective.order + 1)
        return [
            [sum(math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * c**p for p in orders) for c in line]
            for line in cosines(x)
        ]

    return by_row(kernel(student), kernel(teacher), lambda a, b: (a - b) ** 2)


@reference("channel_correlation")
def channel_correlation(objective, student, teacher, target, index):
    losses = []
    for s, t in zip(student, teacher, strict=True):
        losses.append(by_row(similarities(rows(s)), similarities(rows(t)), lambda a, b: (a - b) ** 2).mean())
    return torch.stack(losses)


@reference("contrastive")
def contrastive(objective, student, teacher, target, index):
    drawn = objective._rows(index)  # in evaluation mode the draw repeats

    def embedded(layer, x):
        return [(layer.weight @ item + layer.bias) / norm(layer.weight @ item + layer.bias) for item in rows(x)]

    def direction(embeddings, bank):
        n, K = len(bank), objective.negatives
        scores = [
            [torch.exp((v * bank[j]).sum() / objective.temperature) for j in line]
            for v, line in zip(embeddings, drawn, strict=True)
        ]
        z = mean(score for line in scores for score in line).item() * n
        noise = K / n
        losses = []
        for line in scores:
            p = [score / z for score in line]
            losses.append(-torch.log(p[0] / (p[0] + noise)) - sum(torch.log(noise / (q + noise)) for q in p[1:]))
        return torch.stack(losses)

    ours = direction(embedded(objective.student_embedding, student), objective.teacher_bank)
    return ours + direction(embedded(objective.teacher_embedding, teacher), objective.student_bank)
