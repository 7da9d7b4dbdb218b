"""Masking: tokens are chosen by key and view, in the shares of BERT."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Masking, MaskingVocabulary, Pipeline, mask_tokens, tokenize
from tests.data.tiny_tokenizers import CORPUS, byte_bpe, of_words

VOCABULARY = MaskingVocabulary(mask_id=4, size=50, special=(0, 1, 2, 3, 4))


def rows(count: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    ids = torch.randint(5, 50, (count, length), generator=torch.Generator().manual_seed(0))
    ids[:, 0], ids[:, -1] = 2, 3
    return ids, torch.ones_like(ids), torch.arange(count) * 77 + 1


def test_shares_of_chosen_masked_and_replaced_tokens() -> None:
    ids, mask, keys = rows(400, 130)
    hidden, labels = mask_tokens(ids, mask, keys, 0, 0, VOCABULARY)
    chosen = labels != -100
    assert float(chosen[:, 1:-1].float().mean()) == pytest.approx(0.15, abs=0.006)
    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(hidden[~chosen], ids[~chosen])
    masked, stayed = (hidden[chosen] == 4).float().mean(), (hidden[chosen] == ids[chosen]).float().mean()
    assert float(masked) == pytest.approx(0.8, abs=0.02)
    assert float(stayed) == pytest.approx(0.1 + 0.1 / 45, abs=0.015)
    replaced = hidden[chosen & (hidden != 4) & (hidden != ids)]
    assert replaced.unique().tolist() == list(range(5, 50))
    assert not chosen[:, [0, -1]].any()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=9), min_size=1, max_size=5),
    st.floats(0.01, 1),
    st.booleans(),
    st.integers(0, 4),
)
def test_masking_does_not_depend_on_the_batch(items: list[list[int]], share: float, left: bool, more: int) -> None:
    def masked(chosen: list[int], width: int, left: bool) -> list[tuple[list[int], list[int]]]:
        gaps = [[0] * (width - len(items[n])) for n in chosen]
        ids = [gap + items[n] if left else items[n] + gap for n, gap in zip(chosen, gaps, strict=True)]
        real = [[0] * len(gap) + [1] * len(items[n]) for n, gap in zip(chosen, gaps, strict=True)]
        mask = torch.tensor(real if left else [row[::-1] for row in real])
        hidden, labels = mask_tokens(
            torch.tensor(ids), mask, torch.tensor(chosen) + 5, torch.tensor(chosen), 1, VOCABULARY, share
        )
        assert (labels[mask == 0] == -100).all()
        return [(h[m].tolist(), w[m].tolist()) for h, w, m in zip(hidden, labels, mask.bool(), strict=True)]

    width = max(map(len, items))
    together = masked(list(range(len(items))), width, False)
    assert together == [masked([n], len(items[n]) + more, left)[0] for n in range(len(items))]
    for ids, (hidden, labels) in zip(items, together, strict=True):
        ordinary = [token for token in ids if token >= 5]
        assert any(label != -100 for label in labels) == bool(ordinary)  # one at least, where there is any
        assert all(label == -100 or (label == token and token >= 5) for label, token in zip(labels, ids, strict=True))
        assert all(now == token or label != -100 for now, token, label in zip(hidden, ids, labels, strict=True))


def test_a_share_of_one_chooses_all_tokens() -> None:
    ids, mask, keys = rows(4, 9)
    before = ids.clone()
    _, labels = mask_tokens(ids, mask, keys, 0, 0, VOCABULARY, share=1)
    assert (labels[:, 1:-1] == ids[:, 1:-1]).all()
    assert torch.equal(ids, before)
    for share in (0, 1.5):
        with pytest.raises(ValueError, match=f"share={share}: expected a number above 0"):
            mask_tokens(ids, mask, keys, 0, 0, VOCABULARY, share=share)
        with pytest.raises(ValueError, match=f"share={share}: expected a number above 0"):
            Masking(VOCABULARY, share=share)


def test_other_views_seeds_and_keys_choose_other_tokens() -> None:
    ids, mask, keys = rows(20, 60)
    _, base = mask_tokens(ids, mask, keys, 0, 0, VOCABULARY)
    assert torch.equal(mask_tokens(ids, mask, keys, 0, 0, VOCABULARY)[1], base)
    for other in ((keys, 1, 0), (keys, 0, 1), (keys + 1, 0, 0)):
        assert not torch.equal(mask_tokens(ids, mask, *other, VOCABULARY)[1], base)


KNOWN = ["the", "fox", "is", "an", "story", "it", "what", "half", "weak", "that", ",", "."]
WORDS = of_words(KNOWN)


def test_masking_vocabulary() -> None:
    known = MaskingVocabulary.of(WORDS)
    assert known == MaskingVocabulary(mask_id=4, size=len(WORDS), special=(0, 1, 2, 3, 4))
    with pytest.raises(ValueError, match="has no mask token, which masked-language modelling needs; set mask_token"):
        MaskingVocabulary.of(byte_bpe(mask_token=None))


def masked(texts: list[str] = CORPUS, tokenizer: Any = WORDS, **options: Any) -> Dataset:
    items = tokenize(Items.from_tensors(texts, [0, 1, 0, 1]), tokenizer)
    return Dataset(
        items, batch_size=4, views={"default": Masking(MaskingVocabulary.of(WORDS), 0.4), "plain": Pipeline()}, **options
    )


def test_masking_as_a_view() -> None:
    data = masked()
    first, again, later = data.batch(BatchPosition(0)), masked().batch(BatchPosition(0)), data.batch(BatchPosition(1))
    assert first.target is not None
    assert first.mask is not None
    hidden, whole = first.inputs["default"], first.inputs["plain"]
    assert torch.equal(first.target, again.target)
    chosen = first.target != -100
    assert torch.equal(first.target[chosen], whole["input_ids"][chosen])
    assert torch.equal(hidden["input_ids"][~chosen], whole["input_ids"][~chosen])
    assert torch.equal(hidden["attention_mask"], whole["attention_mask"])
    assert not chosen[~first.mask].any()
    assert later.target is not None
    assert first.index is not None
    assert later.index is not None
    assert not torch.equal(first.target[first.index.argsort()], later.target[later.index.argsort()])


def test_a_limited_number_of_views_repeats() -> None:
    data = masked(view_count=2)
    shown = []
    for epoch in range(4):
        batch = data.batch(BatchPosition(epoch))
        assert batch.view is not None
        assert batch.keys is not None
        assert batch.target is not None
        shown.append(dict(zip(zip(batch.keys.tolist(), batch.view.tolist(), strict=True), batch.target.tolist(), strict=True)))
    early, late = shown[0] | shown[1], shown[2] | shown[3]
    assert early == late
    assert len(early) == 8


def test_actors_with_different_token_types_read_the_same_masks() -> None:
    plain = of_words(KNOWN, types=False)
    batch = masked(tokenizer={"student": plain, "teacher": WORDS}).batch(BatchPosition(0))
    inputs = batch.inputs["default"]
    assert torch.equal(inputs["student"]["input_ids"], inputs["teacher"]["input_ids"])
    assert "token_type_ids" in inputs["teacher"]
    assert "token_type_ids" not in inputs["student"]
    assert batch.target is not None
    assert (batch.target != -100).any(1).all()
    said = r"student and teacher read other tokens \(token \d+ of item \d of the batch: student id \d+, teacher id \d+\), so"
    with pytest.raises(ValueError, match=said):
        masked(tokenizer={"student": of_words(["fox", "the", "it"]), "teacher": WORDS}).batch(BatchPosition(0))
    with pytest.raises(ValueError, match="these items have none; make them with tokenize"):
        Dataset(Items.from_tensors(torch.rand(9, 2)), batch_size=2, views={"default": Masking(VOCABULARY)}).batch(
            BatchPosition(0)
        )
