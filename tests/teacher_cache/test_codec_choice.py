"""The codec of each tap."""

from __future__ import annotations

import pytest

from limbeck.teacher_cache import CacheConfig, Dense, ScaledInt8, TopKCodec, choose_codecs
from tests.teacher_cache.queries import query


def test_auto_stores_few_classes_densely_and_the_largest_of_many() -> None:
    assert choose_codecs(query(sparse=True), CacheConfig()) == {"logits": Dense("fp16")}
    assert choose_codecs(query(classes=200, sparse=True), CacheConfig()) == {"logits": TopKCodec(16, 200)}
    assert choose_codecs(query(classes=200), CacheConfig()) == {"logits": Dense("fp16")}  # a term reads all logits


def test_the_configuration_decides() -> None:
    config = CacheConfig(logits={"k": 2, "values": "fp16"}, features="int8")
    found = choose_codecs(query("logits", "0", sparse=True), config)
    assert found == {"logits": TopKCodec(2, 3, "fp16"), "0": ScaledInt8()}
    assert choose_codecs(query("0"), CacheConfig(features="bf16")) == {"0": Dense("bf16")}


def test_other_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cache.logits is 'fp8'; expected auto, fp16, bf16, fp32, or \{k: 16\}"):
        choose_codecs(query(), CacheConfig(logits="fp8"))
    with pytest.raises(ValueError, match=r"cache.logits: \{'k': 2\} stores only the largest.* a term of this run needs all"):
        choose_codecs(query(), CacheConfig(logits={"k": 2}))
    with pytest.raises(ValueError, match=r"cache.logits: k: expected 1 to 3 \(3 classes\), found 4"):
        choose_codecs(query(sparse=True), CacheConfig(logits={"k": 4}))
