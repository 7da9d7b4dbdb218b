"""Evaluates sentence encoders beside their teacher: quality of the embeddings, size and speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from limbeck.data import Items
from limbeck.tasks.sentence_embeddings.linear_probe import probe_logits
from limbeck.tasks.sentence_embeddings.neighbours import nearest_neighbours, neighbour_overlap, neighbour_votes

MEASURES = ("probe accuracy", "10-NN accuracy", "10 nearest neighbours shared with the teacher")
Encode = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Judge:
    """The test texts with their labels, and where the teacher sees each one's neighbours."""

    items: Items
    theirs: Tensor

    @classmethod
    def of(cls, items: Items, teachers: Tensor) -> Judge:
        return cls(items, nearest_neighbours(teachers))

    def marks(self, embeddings: Tensor) -> dict[str, np.ndarray]:
        """Of each text: whether it is classified rightly from the others, which share of its neighbours is the teacher's."""
        labels, classes = self.items.target, self.items.classes
        assert labels is not None
        assert classes is not None
        near = nearest_neighbours(embeddings)
        probe = probe_logits(embeddings, labels, self.items.keys, classes).argmax(1) == labels
        counted = neighbour_votes(near, labels, classes).argmax(1) == labels
        return dict(
            zip(MEASURES, (x.double().numpy() for x in (probe, counted, neighbour_overlap(near, self.theirs))), strict=True)
        )


def interval(figure: Callable[[np.ndarray], float], count: int, draws: int = 2_000) -> tuple[float, tuple[float, float]]:
    """`figure` of all rows, and its 95 % bootstrap interval over rows drawn again; rows of several models stay together."""
    draw = np.random.default_rng(0)
    found = [figure(draw.integers(0, count, count)) for _ in range(draws)]
    low, high = np.quantile(found, [0.025, 0.975])
    return figure(np.arange(count)), (float(low), float(high))


def points(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, tuple[float, float]]:
    """By how many points ours is better on average, paired by text."""
    return interval(lambda rows: 100 * float((ours[rows] - theirs[rows]).mean()), len(ours))


def kept(ours: np.ndarray, teachers: np.ndarray) -> tuple[float, tuple[float, float]]:
    """Ours as a share of the teacher's."""
    return interval(lambda rows: float(ours[rows].mean() / teachers[rows].mean()), len(ours))


def size(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def texts_a_second(encoders: Mapping[str, Encode], texts: Mapping[str, Sequence[str]], turns: int) -> dict[str, list[float]]:
    """Of each encoder on texts of its own number, all of them in turn, so that what else the machine does hits them alike."""
    found: dict[str, list[float]] = {name: [] for name in encoders}
    for turn in range(turns + 1):
        for name, encode in encoders.items():
            given = list(texts[name])
            began = time.perf_counter()
            encode(given)
            if turn:  # the first one warms caches
                found[name].append(len(given) / (time.perf_counter() - began))
    return found


def as_tensor(embeddings: np.ndarray) -> Tensor:
    return torch.as_tensor(np.asarray(embeddings), dtype=torch.float32)
