"""Metrics of predicted tokens (masked ones, or the next): means over tokens, whatever texts they are in.

Outputs are [seeds, texts, 3]: for each text the number of tokens to predict, how many of them were predicted, and the sum of
their cross entropies in nats.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from limbeck.metrics.measure import Floats
from limbeck.metrics.metric import ratio


def predicted_tokens(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """How many tokens were predicted correctly, and how many there are: [seeds, texts, 2]."""
    return np.asarray(outputs[..., [1, 0]], dtype=np.float64)


def token_nats(outputs: NDArray[np.float32], target: NDArray[np.generic]) -> Floats:
    """The sum of the cross entropies, and how many tokens there are: [seeds, texts, 2]."""
    return np.asarray(outputs[..., [2, 0]], dtype=np.float64)


def token_mean(means: Floats) -> Floats:
    """The first mean over the second: a mean over tokens."""
    return ratio(means[..., 0], means[..., 1])


def perplexity(means: Floats) -> Floats:
    """e to the mean cross entropy of a token."""
    return np.asarray(np.exp(token_mean(means)))
