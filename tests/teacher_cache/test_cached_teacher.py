"""A teacher whose outputs come from the cache."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from limbeck.teacher_cache import Dense, IncrementalStore, StoreError, Tokens
from limbeck.teacher_cache.cached_teacher import CachedTeacher

LENGTHS = torch.tensor([3, 5, 1, 4])

IDS = torch.arange(4 * 5).view(4, 5) % 11

MASK = torch.arange(5)[None] < LENGTHS[:, None]

INPUTS = {"input_ids": IDS, "attention_mask": MASK.long()}


def cached_teacher(folder: Path) -> tuple[IncrementalStore, CachedTeacher, nn.Embedding]:
    keys = torch.arange(4)
    store = IncrementalStore(folder, keys, 1, {"hidden(1)": Tokens(Dense("fp32"))}, {"teacher": "one"}, rows_per_shard=2)
    torch.manual_seed(0)
    return store, CachedTeacher({"hidden(1)": store}), nn.Embedding(11, 6)


def test_cached_token_signals_fit_any_padding(tmp_path: Path) -> None:
    computed: list[int] = []
    store, cached, teacher = cached_teacher(tmp_path)

    def lookup(rows: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        def run_teacher(some: Tensor | None) -> dict[str, Tensor]:
            chosen = inputs["input_ids"] if some is None else inputs["input_ids"][some]
            computed.append(len(chosen))
            return {"hidden(1)": teacher(chosen).detach()}

        views = torch.zeros_like(rows)
        signal = cached.lookup(rows, views, ["hidden(1)"], torch.device("cpu"), run_teacher, inputs)["hidden(1)"]
        assert isinstance(signal, Tensor)
        return signal

    with store:
        first = lookup(torch.tensor([0, 2]), {"input_ids": IDS[[0, 2], :3], "attention_mask": MASK[[0, 2], :3].long()})
        full = lookup(torch.arange(4), INPUTS)  # two are known, from a narrower batch
        assert computed == [2, 2]
        assert torch.equal(full[[0, 2], :3], first)
        assert torch.equal(full[MASK], teacher(IDS)[MASK].detach())
        assert not full[~MASK].any()


def test_a_text_that_is_tokenized_differently_is_refused(tmp_path: Path) -> None:
    store, cached, teacher = cached_teacher(tmp_path)
    keys, views, cpu = torch.arange(4), torch.zeros(4, dtype=torch.int64), torch.device("cpu")
    with store:
        cached.lookup(keys, views, ["hidden(1)"], cpu, lambda rows: {"hidden(1)": teacher(IDS).detach()}, INPUTS)
        other = {"input_ids": IDS + 1, "attention_mask": MASK.long()}
        with pytest.raises(StoreError, match="built with another tokenization"):
            cached.lookup(keys, views, ["hidden(1)"], cpu, lambda rows: {}, other)
