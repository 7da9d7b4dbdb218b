"""Entities in sequences of tags, and how many of them are found.

An entity is (type, first word, word after the last). Tags are `PREFIX-TYPE` in any of the usual schemes: IOB1, IOB2, IOBES and
its other letters (BILOU, BMES), `O` outside; as in the evaluation of CoNLL 2000, an entity also begins where a tag that
continues one follows `O` or another type. Tags without prefixes are types: equal neighbours are one entity.

Source: Tjong Kim Sang & De Meulder 2003, Introduction to the CoNLL-2003 Shared Task (arXiv:cs/0306050).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio

Entity: TypeAlias = tuple[str, int, int]

OUTSIDE = "O"
PREFIXED = re.compile(r"([BIESLUM])[-_](.+)", re.DOTALL)
SAME = {"L": "E", "U": "S", "M": "I"}  # letters of other schemes


def has_prefixes(names: Iterable[str]) -> bool:
    """Whether all tags but `O` are of the form `PREFIX-TYPE`."""
    return all(name == OUTSIDE or PREFIXED.fullmatch(name) for name in names)


def split_tag(tag: str, prefixed: bool) -> tuple[str, str]:
    """The prefix (`O`, `B`, `I`, `E` or `S`) and the type of a tag; a tag without a prefix has `I`."""
    if tag == OUTSIDE:
        return OUTSIDE, ""
    found = PREFIXED.fullmatch(tag) if prefixed else None
    return (SAME.get(found[1], found[1]), found[2]) if found else ("I", tag)


def entity_types(names: Iterable[str]) -> list[str]:
    """The types in a set of tags, sorted."""
    known = list(names)
    prefixed = has_prefixes(known)
    return sorted({split_tag(name, prefixed)[1] for name in known} - {""})


def find_entities(tags: Sequence[str], prefixed: bool = True) -> list[Entity]:
    """The entities of one sentence, in order."""
    found: list[Entity] = []
    start, kind, before = -1, "", OUTSIDE
    for at, tag in enumerate([*tags, OUTSIDE]):
        prefix, this = split_tag(tag, prefixed)
        if start >= 0 and (prefix in "OBS" or before in "ES" or this != kind):
            found.append((kind, start, at))
            start = -1
        if start < 0 and prefix != OUTSIDE:
            start, kind = at, this
        before = prefix
    return found


def entity_counts(predicted: Sequence[str], true: Sequence[str], types: Sequence[str], prefixed: bool) -> NDArray[np.int64]:
    """Of each type, how many entities of a sentence are found, predicted and true: [types, 3]."""
    ours, theirs = set(find_entities(predicted, prefixed)), set(find_entities(true, prefixed))
    counts = np.zeros((len(types), 3), np.int64)
    index = {kind: at for at, kind in enumerate(types)}
    for column, entities in enumerate((ours & theirs, ours, theirs)):
        for kind, _, _ in entities:
            counts[index[kind], column] += 1
    return counts


def found_entities(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """How many entities are found, predicted and true in each sentence; outputs [seeds, sentences, 5] hold them first."""
    return np.asarray(outputs[..., :3], dtype=np.float64)


def right_words(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """How many words of each sentence have the right tag, and how many there are; outputs [seeds, sentences, 5] end so."""
    return np.asarray(outputs[..., 3:], dtype=np.float64)


def entity_f1(means: Floats) -> Floats:
    """2·found / (predicted + true) over the entities of all sentences; 0 if there are none."""
    return ratio(2 * means[..., 0], means[..., 1] + means[..., 2])
