"""Signals that a store cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from limbeck.core.signals import AnySignal
from limbeck.teacher_cache import (
    Dense,
    Store,
    StoreBuilder,
    StoreError,
)
from tests.teacher_cache import examples


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_sample_with_nan_or_infinity_is_named_and_not_stored(tmp_path: Path, bad: float) -> None:
    keys = examples.keys(50).sort().values

    def give(part: torch.Tensor, view: int) -> dict[str, AnySignal]:
        logits = examples.drawn(part, view, 0, 10)
        logits[part == keys[25], 3] = bad if view == 1 else 0.0
        return {"logits": logits}

    name = {int(key): f"img_{number}.png" for number, key in enumerate(keys)}
    with (
        pytest.raises(StoreError, match=r"tap 'logits', sample img_25.png, view 1: NaN or infinity; nothing was stored"),
        examples.builder(tmp_path, keys, describe=lambda key: name[key]) as one,
    ):
        examples.fill(one, give)
    store = Store.open(tmp_path)
    assert not bool(store.has(keys[25:26], 1))
    assert bool(store.has(keys, 0).all())


def test_taps_of_one_batch_must_have_the_same_number_of_rows(tmp_path: Path) -> None:
    codecs = {"a": Dense(), "b": Dense()}
    with StoreBuilder(tmp_path, examples.keys(9), 1, codecs, {}, rows_per_shard=9) as one:
        task = next(one.pending())
        with pytest.raises(StoreError, match="the same number for each tap"):
            one.write(task, {"a": torch.zeros(3, 2), "b": torch.zeros(4, 2)})
