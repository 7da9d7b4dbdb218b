"""Every objective as one writes it in torch from its formula: `PLAIN[name](objective, student, teacher, labels, index)`.

The result is the mean over items. Where an objective has networks or buffers of its own, both forms use the same ones. Random
draws are of the same sizes, so both cost the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Plain = Callable[[Any, Any, Any, Tensor, Tensor], Tensor]


def kl(t: Tensor, s: Tensor, temperature: float) -> Tensor:
    """T² KL of the teacher's distribution and the student's, summed over the last axis."""
    p, q = F.log_softmax(t / temperature, -1), F.log_softmax(s / temperature, -1)
    return temperature**2 * F.kl_div(q, p, reduction="none", log_target=True).sum(-1)


def decoupled(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    other = torch.ones_like(s, dtype=torch.bool).scatter_(1, y[:, None], False)
    p, q = (z / o.temperature for z in (t, s))
    both_p, both_q = (torch.stack([(r := F.softmax(z, 1)).gather(1, y[:, None])[:, 0], (r * other).sum(1)], 1) for z in (p, q))
    n_p, n_q = (F.log_softmax(z[other].view(len(z), -1), 1) for z in (p, q))
    binary = (both_p * (both_p.log() - both_q.log())).sum(1)
    return o.temperature**2 * (o.alpha * binary + o.beta * (n_p.exp() * (n_p - n_q)).sum(1)).mean()


def pearson(x: Tensor, y: Tensor, dim: int) -> Tensor:
    return F.cosine_similarity(x - x.mean(dim, keepdim=True), y - y.mean(dim, keepdim=True), dim=dim)


def dist(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    p, q = F.softmax(t / o.temperature, 1), F.softmax(s / o.temperature, 1)
    return o.temperature**2 * (o.beta * (1 - pearson(q, p, 1)).mean() + o.gamma * (1 - pearson(q, p, 0).mean()))


def weighted_soft_labels(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    soft = -(F.softmax(t / o.temperature, 1) * F.log_softmax(s / o.temperature, 1)).sum(1)
    ratio = F.cross_entropy(s.detach(), y, reduction="none") / F.cross_entropy(t, y, reduction="none")
    return ((1 - torch.exp(-ratio)) * o.temperature**2 * soft).mean()


def adaptive_target(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    label = F.one_hot(y, s.shape[1])
    p = (F.softmax(t / o.temperature, 1) + label) ** o.gamma - label
    return -(o.temperature**2) * (p * F.log_softmax(s / o.temperature, 1)).sum(1).mean()


def bernoulli(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    p, s, t = torch.sigmoid(t / o.temperature), s / o.temperature, t / o.temperature
    entropy = F.binary_cross_entropy_with_logits(t, p, reduction="none")
    return o.temperature**2 * (F.binary_cross_entropy_with_logits(s, p, reduction="none") - entropy).sum(1).mean()


def attention_map(x: Tensor, power: float) -> Tensor:
    return F.normalize(x.abs().pow(power).sum(1).flatten(1))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.mT).square().mean()


def neuron_selectivity(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    a, b = F.normalize(s.flatten(2), dim=2), F.normalize(t.flatten(2), dim=2)
    return kernel(b, b) + kernel(a, a) - 2 * kernel(a, b)


def flow(o: Any, s: Any, t: Any, y: Tensor, index: Tensor) -> Tensor:
    def gram(first: Tensor, second: Tensor) -> Tensor:
        first = F.adaptive_max_pool2d(first, second.shape[2:]) if first.shape[2:] != second.shape[2:] else first
        return first.flatten(2) @ second.flatten(2).mT / second[0, 0].numel()

    return F.mse_loss(gram(*s), gram(*t))


def standard(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-12).sqrt()


def variational(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    variance = (F.softplus(o.rho) + o.floor).view(1, -1, 1, 1)
    return 0.5 * (variance.log() + (t - s) ** 2 / variance).mean()


def margin_features(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    negative = t < 0
    margin = (t * negative).sum((0, 2, 3)) / negative.sum((0, 2, 3))
    t = torch.max(t, margin.view(1, -1, 1, 1))
    return ((s - t) ** 2 * ((s > t) | (t > 0))).mean()


def review(o: Any, s: Any, t: Any, y: Tensor, index: Tensor) -> Tensor:
    loss, fused = torch.zeros(()), None
    for fusion, ours, theirs in reversed(list(zip(o.fusions, s, t, strict=True))):
        out, fused = fusion(ours, fused)
        part, weight, total = F.mse_loss(out, theirs), 1.0, 1.0
        for size in (4, 2, 1):
            weight, total = weight / 2, total + weight / 2
            part = part + weight * F.mse_loss(F.adaptive_avg_pool2d(out, size), F.adaptive_avg_pool2d(theirs, size))
        loss = loss + part / total
    return loss


def masked_generative(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    mask = torch.rand(len(s), 1, *s.shape[2:]) >= o.ratio
    return F.mse_loss(o.generator(s * mask), t)


def partial_cross_attention(o: Any, s: Any, t: Any, y: Tensor, index: Tensor) -> Tensor:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.softmax(q @ k.mT / math.sqrt(q.shape[-1]), -1) @ v

    def relate(v: Tensor) -> Tensor:
        return v @ v.mT / math.sqrt(v.shape[-1])

    mixed = [torch.where(torch.rand_like(a) < o.swap, b, a) for a, b in zip(s, t, strict=True)]
    return F.mse_loss(attend(*mixed), attend(*t)) + F.mse_loss(relate(s[2]), relate(t[2]))


def rkd_distance(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    def distances(x: Tensor) -> Tensor:
        squares = x.square().sum(1)
        d = (squares[:, None] + squares - 2 * x @ x.T).clamp(min=1e-12).sqrt()
        d = d.masked_fill(torch.eye(len(x), dtype=torch.bool), 0.0)
        return d / d[d > 0].mean()

    return F.smooth_l1_loss(distances(s), distances(t))


def rkd_angle(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    def angles(x: Tensor) -> Tensor:
        e = F.normalize(x[None] - x[:, None], dim=2)
        return e @ e.mT

    return F.smooth_l1_loss(angles(s), angles(t))


def cosines(x: Tensor) -> Tensor:
    x = F.normalize(x.flatten(1))
    return x @ x.T


def neighbours(x: Tensor) -> Tensor:
    similarity = (1 + cosines(x)) / 2
    return similarity / similarity.sum(1, keepdim=True)


def probabilistic_transfer(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    p, q = neighbours(t), neighbours(s)
    return (p * torch.log((p + 1e-7) / (q + 1e-7))).mean()


def congruence(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    def taylor(x: Tensor) -> Tensor:
        c = cosines(x)
        terms = [(2 * o.gamma) ** p / math.factorial(p) * c**p for p in range(o.order + 1)]
        return math.exp(-2 * o.gamma) * torch.stack(terms).sum(0)

    return F.mse_loss(taylor(s), taylor(t))


def gram_of_channels(x: Tensor) -> Tensor:
    x = x.flatten(2)
    return F.normalize(x @ x.mT, dim=2)


def contrastive(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    a, b = F.normalize(o.student_embedding(s)), F.normalize(o.teacher_embedding(t))
    samples, count = o.student_bank.shape[0], o.negatives
    rows = torch.cat([index[:, None], torch.randint(samples, (len(s), count))], 1)
    loss = torch.zeros(())
    for x, bank, log_z in ((a, o.teacher_bank.clone(), o.log_normalizer[0]), (b, o.student_bank.clone(), o.log_normalizer[1])):
        odds = (x @ bank.T).gather(1, rows) / o.temperature - log_z - math.log(count / samples)
        loss = loss - (F.logsigmoid(odds[:, 0]) + F.logsigmoid(-odds[:, 1:]).sum(1)).mean()
    with torch.no_grad():
        for x, bank in ((a, o.student_bank), (b, o.teacher_bank)):
            bank[index] = F.normalize(o.momentum * bank[index] + (1 - o.momentum) * x)
    return loss


def contrastive_memory(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    u, v = F.normalize(o.head(s.flatten(1))), F.normalize(o.head(t.flatten(1)))
    kept = o.memory[: min(int(o.counts[1]), o.size)].clone()
    loss = F.cross_entropy(u @ torch.cat([v, kept]).T / o.temperature, torch.arange(len(u)))
    o._remember(u)
    return loss


def info_nce(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    scores, right = F.normalize(s) @ F.normalize(t).T / o.temperature, torch.arange(len(s))
    return (F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)) / 2


def feature_map_transfer(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    maps = F.mse_loss(F.layer_norm(s, s.shape[2:]), F.layer_norm(t, t.shape[2:]))
    means = F.mse_loss(s.mean(2), t.mean(2))
    variances = (s.var(2, correction=0) - t.var(2, correction=0)).abs().mean()
    return o.map_weight * maps + o.mean_weight * means + o.variance_weight * variances


def relation(s: Tensor, t: Tensor) -> Tensor:
    p, q = (F.log_softmax(x @ x.mT / math.sqrt(x.shape[-1]), -1) for x in (t, s))
    return F.kl_div(q, p, reduction="none", log_target=True).sum(-1).mean()


def relations(o: Any, s: Any, t: Any, y: Tensor, index: Tensor) -> Tensor:
    def split(x: Tensor) -> Tensor:
        whole = x.transpose(1, 2).flatten(2)
        return whole.unflatten(2, (o.heads, -1)).transpose(1, 2)

    return torch.stack([relation(split(a), split(b)) for a, b in zip(s, t, strict=True)]).sum()


def class_balance(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    mean = F.softmax(s, 1).mean(0)
    return math.log(s.shape[1]) + (mean * mean.log()).sum()


def statistics(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    mean, square, running = s.mean(0)
    return mean.norm() + (square - mean**2 - running).norm()


def smoothness(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    vertical, horizontal = s[:, :, 1:] - s[:, :, :-1], s[..., 1:] - s[..., :-1]
    return o.variation * ((vertical**2).mean() + (horizontal**2).mean()) + o.norm * (s**2).mean()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum(-1)


def mixture(s: Tensor, t: Tensor, share: float) -> Tensor:
    return share * s.softmax(-1) + (1 - share) * t.softmax(-1)


def jensen_shannon(o: Any, s: Tensor, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    p, q = t.softmax(-1), s.softmax(-1)
    m = o.beta * p + (1 - o.beta) * q
    return (o.beta * divergence(p, m) + (1 - o.beta) * divergence(q, m)).mean()


def largest_first(logits: Tensor) -> Tensor:
    return logits.softmax(-1).sort(-1, descending=True).values


PLAIN: dict[str, Plain] = {
    "hard_targets": lambda o, s, t, y, i: F.cross_entropy(s, y),
    "soft_targets": lambda o, s, t, y, i: kl(t, s, o.temperature).mean(),
    "logit_mse": lambda o, s, t, y, i: F.mse_loss(s, t),
    "teacher_argmax": lambda o, s, t, y, i: F.cross_entropy(s, t.argmax(1)),
    "decoupled": decoupled,
    "dist": dist,
    "weighted_soft_labels": weighted_soft_labels,
    "adaptive_target": adaptive_target,
    "binary_cross_entropy": lambda o, s, t, y, i: (
        F.binary_cross_entropy_with_logits(s, y.float(), reduction="none").sum(1).mean()
    ),
    "binary_soft_targets": bernoulli,
    "forward_kl": lambda o, s, t, y, i: kl(t, s, o.temperature).mean(),
    "reverse_kl": lambda o, s, t, y, i: kl(s, t, o.temperature).mean(),
    "jensen_shannon": jensen_shannon,
    "skew_kl": lambda o, s, t, y, i: divergence(t.softmax(-1), mixture(t, s, o.alpha)).mean(),
    "skew_reverse_kl": lambda o, s, t, y, i: divergence(s.softmax(-1), mixture(s, t, o.alpha)).mean(),
    "total_variation": lambda o, s, t, y, i: (t.softmax(-1) - s.softmax(-1)).abs().sum(-1).mean() / 2,
    "universal_logit": lambda o, s, t, y, i: (largest_first(t) - largest_first(s)).abs().sum(-1).mean(),
    "masked_kl": lambda o, s, t, y, i: kl(t[y != -100], s[y != -100], o.temperature).sum() / y.numel(),
    "span_targets": lambda o, s, t, y, i: F.cross_entropy(s.flatten(0, 1), y.flatten()),
    "span_soft_targets": lambda o, s, t, y, i: kl(t, s, o.temperature).mean(),
    "squared_error": lambda o, s, t, y, i: F.mse_loss(s.squeeze(1), y),
    "hint": lambda o, s, t, y, i: F.mse_loss(s, t),
    "attention_transfer": lambda o, s, t, y, i: F.mse_loss(attention_map(s, o.power), attention_map(t, o.power)),
    "neuron_selectivity": neuron_selectivity,
    "flow": flow,
    "channelwise": lambda o, s, t, y, i: kl(t.flatten(2), s.flatten(2), o.temperature).mean(),
    "standardized_features": lambda o, s, t, y, i: F.mse_loss(standard(s), standard(t)) / 2,
    "variational": variational,
    "margin_features": margin_features,
    "review": review,
    "masked_generative": masked_generative,
    "partial_cross_attention": partial_cross_attention,
    "rkd_distance": rkd_distance,
    "rkd_angle": rkd_angle,
    "rkd_cosine": lambda o, s, t, y, i: F.smooth_l1_loss(cosines(s), cosines(t)),
    "similarity_preserving": lambda o, s, t, y, i: F.mse_loss(F.normalize(s @ s.T), F.normalize(t @ t.T)),
    "probabilistic_transfer": probabilistic_transfer,
    "correlation_congruence": congruence,
    "channel_correlation": lambda o, s, t, y, i: F.mse_loss(gram_of_channels(s), gram_of_channels(t)),
    "contrastive": contrastive,
    "contrastive_memory": contrastive_memory,
    "cross_similarity": lambda o, s, t, y, i: F.mse_loss(F.normalize(s) @ F.normalize(t).T, cosines(t)),
    "info_nce": info_nce,
    "hidden_states": lambda o, s, t, y, i: F.mse_loss(s, t),
    "hidden_cosine": lambda o, s, t, y, i: (1 - F.cosine_similarity(s, t, dim=2)).mean(),
    "feature_map_transfer": feature_map_transfer,
    "attention_scores": lambda o, s, t, y, i: F.mse_loss(s, t),
    "attention_distributions": lambda o, s, t, y, i: F.kl_div(s.log(), t, reduction="none").sum(-1).mean(),
    "value_relation": lambda o, s, t, y, i: relation(s, t),
    "self_attention_relations": relations,
    "embedding_mse": lambda o, s, t, y, i: F.mse_loss(s, t),
    "embedding_cosine": lambda o, s, t, y, i: (1 - F.cosine_similarity(s, t)).mean(),
    "margin_mse": lambda o, s, t, y, i: F.mse_loss(s[:, :1] - s[:, 1:], t[:, :1] - t[:, 1:]),
    "one_hot": lambda o, s, t, y, i: F.cross_entropy(s, s.argmax(1)),
    "class_balance": class_balance,
    "activation": lambda o, s, t, y, i: -s.abs().mean(),
    "class_impression": lambda o, s, t, y, i: o.temperature**2 * F.cross_entropy(s / o.temperature, y),
    "smoothness": smoothness,
    "disagreement": lambda o, s, t, y, i: F.l1_loss(s, t),
    "batchnorm_statistics": statistics,
}
