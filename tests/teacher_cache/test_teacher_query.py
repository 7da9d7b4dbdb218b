"""A teacher's outputs at some taps, and their identity."""

from __future__ import annotations

from contextlib import closing

import torch

from tests.teacher_cache.queries import ITEMS, query


def test_outputs_are_those_of_the_teacher() -> None:
    with closing(query("logits", "0")) as one:
        rows = torch.arange(ITEMS)
        outputs = one.run(one.source.batch_of_views(rows, torch.zeros_like(rows)))
        hidden = one.actor.model[0](one.items.fetch(rows))  # type: ignore[index]
        assert torch.equal(outputs["0"], hidden)  # type: ignore[arg-type]
        assert torch.equal(outputs["logits"], one.actor.model[1](hidden))  # type: ignore[arg-type, index]
        assert {tap: signal.shape for tap, signal in one.example_outputs.items()} == {"logits": (4, 3), "0": (4, 5)}  # type: ignore[union-attr]


def test_the_identity_depends_on_weights_precision_and_views() -> None:
    one = query().identity
    assert query().identity == one
    assert one["teacher"].startswith("Sequential ")  # type: ignore[union-attr]
    assert {name for name in one if query(seed=1).identity[name] != one[name]} == {"teacher"}
    assert query(autocast=torch.bfloat16).identity["precision"] == "bfloat16"
    other = query()
    other.source.view_seed, other.views = 7, [{"random_crop": {"padding": 1}}]
    assert other.identity["view_seed"] == 7
    assert other.identity["views"] == '[{"random_crop": {"padding": 1}}]'


def test_items_are_described_by_key_and_row() -> None:
    one = query()
    key = int(one.items.keys[6])
    assert one.describe_item(key) == f"{key} (row 6 of the training items)"
    assert one.describe_item(5) == "5"
