from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.core.signals import TopK
from limbeck.teacher_cache import (
    Codec,
    Dense,
    RaggedTopK,
    ScaledInt8,
    SignalError,
    StoreError,
    Tokens,
    TokenSignals,
    TopKCodec,
    token_hashes,
)
from limbeck.teacher_cache.codecs.row_table import RowTable
from tests.teacher_cache import examples


def sequences(lengths: list[int], classes: int = 50) -> TokenSignals:
    total = sum(lengths)
    return TokenSignals(
        torch.randn(total, classes, generator=torch.Generator().manual_seed(total)) * 3,
        torch.tensor(lengths, dtype=torch.int64),
        torch.arange(len(lengths)) + 7,
    )


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 5), max_size=6),
    st.sampled_from([Dense("fp16"), ScaledInt8(), TopKCodec(3, 50), RaggedTopK(0.9, 9, 50)]),
)
def test_every_token_is_encoded_by_the_inner_codec(lengths: list[int], inner: Codec) -> None:
    given = sequences(lengths)
    stored = Tokens(inner).decode(RowTable.from_tensors(Tokens(inner).encode(given).tensors()))
    alone = inner.decode(inner.encode(given.signal))
    assert torch.equal(stored.lengths, given.lengths)
    assert torch.equal(stored.hashes, given.hashes)
    for field in ("values", "indices", "tail") if isinstance(alone, TopK) else (None,):
        one, other = (part if field is None else getattr(part, field) for part in (stored.signal, alone))
        assert torch.equal(one, other)


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 200_000), max_size=5), min_size=1, max_size=5), st.data())
def test_a_hash_depends_on_ids_order_and_number(texts: list[list[int]], data: st.DataObject) -> None:
    def hashes(of: list[list[int]]) -> torch.Tensor:
        return token_hashes(
            torch.tensor([token for text in of for token in text], dtype=torch.int64), torch.tensor([len(t) for t in of])
        )

    assert torch.equal(hashes(texts), torch.cat([hashes([text]) for text in texts]))  # no text depends on its neighbours
    which = data.draw(st.integers(0, len(texts) - 1))
    text = texts[which]
    others = [[*text, 0], text[:-1] if text else [1], text[::-1], [*text[:-1], text[-1] + 1] if text else [2]]
    for other in others:
        assert (hashes([other]) == hashes([text])).item() == (other == text)


def test_the_sequence_and_token_of_a_bad_signal_are_named() -> None:
    given = sequences([2, 0, 3, 1])
    assert isinstance(given.signal, torch.Tensor)
    given.signal[4, 0] = float("nan")
    with pytest.raises(SignalError, match="token 2: NaN or infinity") as caught:
        Tokens(Dense()).encode(given)
    assert caught.value.row == 2


def test_lengths_must_fit_the_tokens() -> None:
    given = sequences([2, 3])
    with pytest.raises(StoreError, match="5 tokens and 2 hashes do not fit 2 lengths that add up to 4"):
        Tokens(Dense()).encode(TokenSignals(given.signal, torch.tensor([2, 2]), given.hashes))


def test_a_text_that_is_tokenized_differently_is_refused(tmp_path: Path) -> None:
    keys = examples.keys(30)
    store = examples.build(
        tmp_path, keys, codecs={"text": examples.CODECS["text"]}, give=lambda k, v: {"text": examples.signals(k, v)["text"]}
    )
    reading = store.read(keys[:8], 1, hashes=keys[:8] * 5)
    text = reading.signals["text"]
    assert isinstance(text, TokenSignals)
    assert torch.equal(text.lengths, keys[:8].remainder(4))
    other = keys[:8] * 5
    other[6] += 1
    with pytest.raises(StoreError, match=f"other tokens for sample {int(keys[6])} and 0 more.*tokenizer"):
        store.read(keys[:8], 1, hashes=other)
