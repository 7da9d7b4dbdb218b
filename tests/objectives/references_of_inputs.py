"""The slow references, continued: objectives on inputs that are made. `REFERENCES` holds all."""

from __future__ import annotations

import math
from itertools import product

import torch
import torch.nn.functional as F

from tests.objectives.references import kl, mean, norm, reference, softmax
from tests.objectives.references_of_tokens import REFERENCES

__all__ = ["REFERENCES"]


@reference("one_hot")
def one_hot(objective, student, teacher, target, index):
    return torch.stack([-torch.log(softmax(z)[int(z.argmax())]) for z in student])


@reference("class_balance")
def class_balance(objective, student, teacher, target, index):
    rows = [softmax(z) for z in student]
    means = [mean(row[c] for row in rows) for c in range(student.shape[1])]
    loss = math.log(student.shape[1]) + sum(p * torch.log(p) for p in means)
    return torch.stack([loss for _ in student])


@reference("activation")
def activation(objective, student, teacher, target, index):
    return torch.stack([-mean(abs(value) for value in item.flatten()) for item in student])


@reference("class_impression")
def class_impression(objective, student, teacher, target, index):
    losses = [-torch.log(softmax(z, objective.temperature)[int(y)]) for z, y in zip(student, target, strict=True)]
    return objective.temperature**2 * torch.stack(losses)


@reference("smoothness")
def smoothness(objective, student, teacher, target, index):
    losses = []
    for image in student:
        channels, height, width = image.shape
        down = mean(
            (image[c, i + 1, j] - image[c, i, j]) ** 2 for c, i, j in product(range(channels), range(height - 1), range(width))
        )
        across = mean(
            (image[c, i, j + 1] - image[c, i, j]) ** 2 for c, i, j in product(range(channels), range(height), range(width - 1))
        )
        losses.append(objective.variation * (down + across) + objective.norm * mean(x**2 for x in image.flatten()))
    return torch.stack(losses)


@reference("disagreement")
def disagreement(objective, student, teacher, target, index):
    T, losses = objective.temperature, []
    for s, t in zip(student, teacher, strict=True):
        p, q = softmax(t, T), softmax(s, T)
        middle = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
        distances = {
            "l1": mean(abs(a - b) for a, b in zip(s, t, strict=True)),
            "kl": T**2 * kl(p, q),
            "js": T**2 * (kl(p, middle) + kl(q, middle)) / 2,
        }
        losses.append(distances[objective.distance])
    return torch.stack(losses)


@reference("contrastive_memory")
def contrastive_memory(objective, student, teacher, target, index):
    def embed(item):
        first, _, second = objective.head
        hidden = [torch.clamp(row @ item.flatten() + b, min=0) for row, b in zip(first.weight, first.bias, strict=True)]
        made = torch.stack([row @ torch.stack(hidden) + b for row, b in zip(second.weight, second.bias, strict=True)])
        return made / norm(made)

    ours, theirs = [embed(item) for item in student], [embed(item) for item in teacher]
    kept = list(objective.memory[: int(objective.counts[1])])
    losses = []
    for number, u in enumerate(ours):
        scores = torch.stack([u @ v / objective.temperature for v in (*theirs, *kept)])
        losses.append(F.cross_entropy(scores[None], torch.tensor([number])))
    return torch.stack(losses)
