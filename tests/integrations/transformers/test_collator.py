"""A collator for the columns of two tokenizers."""

from __future__ import annotations

import pytest

pytest.importorskip("transformers")
from transformers import (
    DataCollatorWithPadding,
)

from limbeck.integrations.transformers.collator import TwoTokenizerCollator
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, wordpiece


def test_a_collator_for_two_tokenizers_leaves_common_columns_to_the_student():
    ours, theirs = wordpiece(), byte_bpe()
    collate = TwoTokenizerCollator(DataCollatorWithPadding(ours), DataCollatorWithPadding(theirs))
    items = [
        {**ours(text), **{f"teacher_{n}": v for n, v in theirs(text).items()}, "labels": n} for n, text in enumerate(CORPUS)
    ]
    found = collate(items)
    assert found["input_ids"].shape == found["attention_mask"].shape == found["token_type_ids"].shape
    assert found["teacher_input_ids"].shape[0] == len(CORPUS)
    assert found["teacher_input_ids"].shape != found["input_ids"].shape
    assert found["labels"].tolist() == [0, 1, 2, 3]
    assert collate.tokenizer is ours
    assert set(collate([ours(text) for text in CORPUS])) == set(ours.model_input_names)
