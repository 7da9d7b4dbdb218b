"""Exact match and F1 of answers, as in SQuAD v1.1 (Rajpurkar et al. 2016, arXiv 1606.05250).

Both compare answers after lower-casing, without punctuation, without the articles a, an and the, and with single spaces;
of several true answers the best counts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def exact_match(predicted: str, truths: Sequence[str]) -> float:
    """1 if the answer equals one of the true ones, else 0."""
    return _best(lambda truth: float(normalized(predicted) == normalized(truth)), truths)


def f1(predicted: str, truths: Sequence[str]) -> float:
    """The harmonic mean of precision and recall over the words of the answer, with the best of the true answers.

    Words count as often as they occur. Without a common word it is 0, also if both answers are empty.
    """
    return _best(lambda truth: _overlap(normalized(predicted).split(), normalized(truth).split()), truths)


def normalized(answer: str) -> str:
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _overlap(ours: list[str], theirs: list[str]) -> float:
    common = (Counter(ours) & Counter(theirs)).total()
    # 2PR / (P + R) with precision P = common / ours and recall R = common / theirs
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def _best(score: Callable[[str], float], truths: Sequence[str]) -> float:
    if isinstance(truths, str) or not truths:
        raise ValueError(f"truths={truths!r}: expected a list of at least one true answer; leave unlabelled questions out")
    return max(map(score, truths))
