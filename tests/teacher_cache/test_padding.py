"""Answers about tokens: kept without padding, given back padded as the batch is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.core.signals import TopK
from limbeck.teacher_cache import Dense, IncrementalStore, StoreError, Tokens, TokenSignals, TopKCodec
from limbeck.teacher_cache.cached_teacher import CachedTeacher
from limbeck.teacher_cache.padding import Padding

LENGTHS = torch.tensor([3, 5, 1, 4])
IDS = torch.arange(4 * 5).view(4, 5) % 11
MASK = torch.arange(5)[None] < LENGTHS[:, None]
INPUTS = {"input_ids": IDS, "attention_mask": MASK.long()}


def padding() -> Padding:
    found = Padding.from_inputs(INPUTS)
    assert found is not None
    return found


def test_logits_of_spans_are_kept_without_padding_too() -> None:
    signal = torch.randn(4, 2, 5)
    packed = padding().pack("logits", signal)
    assert isinstance(packed, TokenSignals)
    assert isinstance(packed.signal, Tensor)
    assert packed.signal.shape == (int(LENGTHS.sum()), 1, 2)
    back = padding().unpack("logits", packed)
    assert torch.equal(back, torch.where(MASK[:, None], signal, 0.0))  # type: ignore[arg-type]
    by_token = torch.randn(4, 5, 2)  # two classes a token: another kind of answer
    assert torch.equal(padding().unpack("logits", padding().pack("logits", by_token))[MASK], by_token[MASK])  # type: ignore[index]


@pytest.mark.parametrize(("tap", "shape"), [("hidden(2)", (4, 5, 6)), ("queries(1)", (4, 2, 5, 3)), ("layer", (4, 5, 2, 2))])
def test_what_is_packed_comes_back_with_zeros_for_padding(tap: str, shape: tuple[int, ...]) -> None:
    signal = torch.randn(shape)
    packed = padding().pack(tap, signal)
    assert isinstance(packed, TokenSignals)
    assert len(packed.signal) == int(LENGTHS.sum())  # type: ignore[arg-type]
    back = padding().unpack(tap, packed)
    assert isinstance(back, Tensor)
    by_token = back.transpose(1, 2) if tap.startswith("queries") else back
    assert not by_token[~MASK].any()
    expected = signal.transpose(1, 2) if tap.startswith("queries") else signal
    assert torch.equal(by_token[MASK], expected[MASK])


def test_padding_on_the_left_is_padding_too() -> None:
    inputs = {"input_ids": IDS, "attention_mask": MASK.flip(1).long()}
    left, signal = Padding.from_inputs(inputs), torch.randn(4, 5, 6)
    assert left is not None
    assert torch.equal(left.unpack("hidden(1)", left.pack("hidden(1)", signal))[MASK.flip(1)], signal[MASK.flip(1)])  # type: ignore[index]


def test_class_logits_are_no_tokens() -> None:
    logits = torch.randn(4, 5)
    assert padding().pack("logits", logits) is logits
    assert Padding.from_inputs(torch.randn(4, 5)) is None


def test_pairs_of_tokens_are_refused_with_what_to_keep_instead() -> None:
    with pytest.raises(StoreError, match="queries and keys"):
        padding().pack("scores(1)", torch.randn(4, 2, 5, 5))


def test_top_k_of_tokens(tmp_path: Path) -> None:
    codec = TopKCodec(2, classes=11)
    logits = torch.randn(4, 5, 11)
    packed = padding().pack("logits", logits)
    assert isinstance(packed, TokenSignals)
    kept = Tokens(codec).decode(Tokens(codec).encode(packed))
    back = padding().unpack("logits", kept)
    assert isinstance(back, TopK)
    assert back.values.shape == (4, 5, 2)
    assert torch.equal(back.indices[MASK][:, 0].long(), logits.argmax(-1)[MASK])


def answers(folder: Path, said: list[int]) -> tuple[IncrementalStore, CachedTeacher, nn.Embedding]:
    keys = torch.arange(4)
    journal = IncrementalStore(folder, keys, 1, {"hidden(1)": Tokens(Dense("fp32"))}, {"teacher": "one"}, rows_per_shard=2)
    torch.manual_seed(0)
    return journal, CachedTeacher({"hidden(1)": journal}), nn.Embedding(11, 6)


def test_a_teacher_of_tokens_is_asked_once_and_heard_in_any_padding(tmp_path: Path) -> None:
    said: list[int] = []
    journal, stored, teacher = answers(tmp_path, said)

    def hear(rows: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        def live(some: Tensor | None) -> dict[str, Tensor]:
            chosen = inputs["input_ids"] if some is None else inputs["input_ids"][some]
            said.append(len(chosen))
            return {"hidden(1)": teacher(chosen).detach()}

        views = torch.zeros_like(rows)
        signal = stored.lookup(rows, views, ["hidden(1)"], torch.device("cpu"), live, inputs)["hidden(1)"]
        assert isinstance(signal, Tensor)
        return signal

    with journal:
        first = hear(torch.tensor([0, 2]), {"input_ids": IDS[[0, 2], :3], "attention_mask": MASK[[0, 2], :3].long()})
        whole = hear(torch.arange(4), INPUTS)  # two are known, from a narrower batch
        assert said == [2, 2]
        assert torch.equal(whole[[0, 2], :3], first)
        assert torch.equal(whole[MASK], teacher(IDS)[MASK].detach())
        assert not whole[~MASK].any()


def test_a_text_that_is_tokenised_otherwise_is_refused(tmp_path: Path) -> None:
    journal, stored, teacher = answers(tmp_path, [])
    keys, views, cpu = torch.arange(4), torch.zeros(4, dtype=torch.int64), torch.device("cpu")
    with journal:
        stored.lookup(keys, views, ["hidden(1)"], cpu, lambda rows: {"hidden(1)": teacher(IDS).detach()}, INPUTS)
        other = {"input_ids": IDS + 1, "attention_mask": MASK.long()}
        with pytest.raises(StoreError, match="built with another tokenization"):
            stored.lookup(keys, views, ["hidden(1)"], cpu, lambda rows: {}, other)
