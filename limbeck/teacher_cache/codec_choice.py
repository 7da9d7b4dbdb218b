"""The codec of each tap, chosen from the cache's configuration and example outputs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limbeck.core.model_io import LOGITS
from limbeck.core.objective import registry
from limbeck.core.signals import AnySignal
from limbeck.teacher_cache.cache_config import AUTO, CacheConfig
from limbeck.teacher_cache.codecs import Codec, Dense, ScaledInt8, Tokens, TokenSignals, TopKCodec, top_k_codec
from limbeck.teacher_cache.teacher_query import TeacherQuery

DENSE_CLASSES = 128  # with more classes only the largest probabilities are stored, if all terms can read these
AUTO_K = 16


def choose_codecs(query: TeacherQuery, config: CacheConfig) -> dict[str, Codec]:
    """Returns the codec of each tap of `query`.

    Raises:
        ValueError: `config.logits` is unknown, or keeps less of the logits than a term needs.
    """
    return {tap: _choose_codec(tap, signal, config, query.sparse) for tap, signal in query.example_outputs.items()}


def _choose_codec(tap: str, signal: AnySignal, config: CacheConfig, sparse: bool) -> Codec:
    if isinstance(signal, TokenSignals):
        return Tokens(_choose_codec(tap, signal.signal, config, sparse))
    if tap != LOGITS:
        return ScaledInt8() if config.features == "int8" else Dense(config.features)
    classes = signal.shape[-1] if isinstance(signal, Tensor) else 0
    if isinstance(config.logits, Mapping):
        if not sparse:
            raise ValueError(
                f"cache.logits: {dict(config.logits)} stores only the largest probabilities, and a term of this run needs all "
                "logits; use fp16, or terms that can read the largest ones, all at temperature 1: "
                + ", ".join(name for name in registry.names() if getattr(registry[name], "accepts_top_k", False))
            )
        try:
            return top_k_codec(config.logits, classes)
        except ValueError as error:
            raise ValueError(f"cache.logits: {error}") from error
    if config.logits == AUTO:
        return TopKCodec(min(AUTO_K, classes), classes) if sparse and classes > DENSE_CLASSES else Dense("fp16")
    if config.logits not in ("fp16", "bf16", "fp32"):
        raise ValueError(f"cache.logits is {config.logits!r}; expected auto, fp16, bf16, fp32, or {{k: 16}}")
    return Dense(config.logits)  # type: ignore[arg-type]
