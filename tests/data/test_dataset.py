"""Data sets: a batch is a function of its position, and the parts of a global batch make the whole."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, Pipeline, evaluation_batches, to_float, tokenize
from tests.data.tiny_tokenizers import of_words

SPEC: list[Any] = ["random_crop", "horizontal_flip", {"mixup": {"alpha": 0.4}}]


def make_items(count: int = 50) -> Items:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Items.from_tensors(images, torch.arange(count) % 5, classes=5)


def make(count: int = 50, **options: Any) -> Dataset:
    views = {"default": Pipeline.from_spec(SPEC), "weak": Pipeline.from_spec(["horizontal_flip"])}
    return Dataset(make_items(count), **{"batch_size": 12, "views": views, **options})


def assert_same(first: Batch, second: Batch) -> None:
    assert first.inputs.keys() == second.inputs.keys()
    for name in first.inputs:
        assert torch.equal(first.inputs[name], second.inputs[name])
    for name in ("target", "keys", "index"):
        assert torch.equal(getattr(first, name), getattr(second, name))


def joined(batches: list[Batch]) -> Batch:
    views: Mapping[str, Any] = {name: torch.cat([batch.inputs[name] for batch in batches]) for name in batches[0].inputs}
    columns = {name: torch.cat([getattr(batch, name) for batch in batches]) for name in ("target", "keys", "index")}
    return Batch(inputs=views, **columns)


def test_batches_are_functions_of_their_position() -> None:
    assert_same(make().batch(BatchPosition(9, seed=4)), make().batch(BatchPosition(9, seed=4)))
    data = make()
    data.batch(BatchPosition(30))
    assert_same(data.batch(BatchPosition(9, seed=4)), make().batch(BatchPosition(9, seed=4)))


def test_the_global_generator_is_not_used() -> None:
    state = torch.get_rng_state()
    first = make().batch(BatchPosition(0))
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(1)
    assert_same(make().batch(BatchPosition(0)), first)


@pytest.mark.parametrize("parts", [2, 3, 12])
def test_parts_make_up_the_global_batch(parts: int) -> None:
    for step in (0, 5):
        pieces = [make().batch(BatchPosition(step, seed=1, part=part, parts=parts)) for part in range(parts)]
        assert_same(joined(pieces), make().batch(BatchPosition(step, seed=1)))


def test_an_epoch_shows_every_item_at_most_once_and_every_view_is_new() -> None:
    data = make()
    assert data.steps_per_epoch == 4
    assert data.samples == 50
    first, second = (torch.cat([data.rows(BatchPosition(start + r)) for r in range(4)]) for start in (0, 4))
    assert first.unique().numel() == 48
    assert not torch.equal(first, second)
    item = int(first[0])
    shown = [
        batch.inputs["default"][batch.index == item]
        for batch in (data.batch(BatchPosition(r)) for r in range(12))
        if batch.index is not None
    ]
    seen = torch.cat(shown)
    assert len(seen) > 1
    assert not torch.equal(seen[0], seen[1])


def numbered(epochs: int, **options: Any) -> tuple[Tensor, Tensor]:
    """View numbers `[epochs, items]` and images `[epochs, items, …]`, by item."""
    pipeline = Pipeline.from_spec(["random_crop", "mixup"])
    data = Dataset(make_items(12), batch_size=12, views={"default": pipeline}, **options)
    numbers, images = [], []
    for epoch in range(epochs):
        batch = data.batch(BatchPosition(epoch, options.get("seed", 0)))
        assert batch.index is not None
        assert batch.view is not None
        order = batch.index.argsort()
        numbers.append(batch.view[order])
        images.append(batch.inputs["default"][order])
    return torch.stack(numbers), torch.stack(images)


def test_a_cycle_of_epochs_shows_all_views_of_each_item() -> None:
    numbers, images = numbered(8, view_count=4)
    for done in (0, 4):
        assert torch.equal(numbers[done : done + 4].sort(0).values, torch.arange(4)[:, None].expand(4, 12))
    assert len({tuple(column) for column in numbers[:4].T.tolist()}) > 1  # items differ
    assert not torch.equal(numbers[:4], numbers[4:])  # and so do passes
    for item in range(12):
        first, second = (dict(zip(numbers[s, item].tolist(), images[s, item], strict=True)) for s in (slice(4), slice(4, 8)))
        assert all(torch.equal(first[view], second[view]) for view in range(4))
        assert not torch.equal(first[0], first[1])


def test_the_next_epochs_replace_a_share_of_the_views() -> None:
    numbers, images = numbered(8, view_count=4, view_refresh=0.25)
    assert torch.equal(numbers[4:].sort(0).values, torch.arange(1, 5)[:, None].expand(4, 12))
    for item in range(12):
        first, second = (dict(zip(numbers[s, item].tolist(), images[s, item], strict=True)) for s in (slice(4), slice(4, 8)))
        assert all(torch.equal(first[view], second[view]) for view in range(1, 4))


def test_views_do_not_depend_on_the_views_of_other_items() -> None:
    items, pipeline = make_items(12), Pipeline.from_spec(SPEC)
    rows = torch.arange(12)
    mixed_views = torch.tensor([0, 1, 2] * 4)
    options = {"seed": 3, "pool": items, "target": items.target}
    together, target = pipeline(items.fetch(rows), items.keys, view=mixed_views, **options)
    for view in range(3):
        alone, alone_target = pipeline(items.fetch(rows), items.keys, view=view, **options)
        chosen = mixed_views == view
        assert torch.equal(together[chosen], alone[chosen])
        assert target is not None
        assert alone_target is not None
        assert torch.equal(target[chosen], alone_target[chosen])


def rows_of(batch: Batch) -> Any:
    assert batch.keys is not None
    assert batch.view is not None
    return zip(batch.keys, batch.view, batch.inputs["default"], strict=True)


def test_runs_with_one_view_seed_see_the_same_views() -> None:
    pipeline = {"default": Pipeline.from_spec(["random_crop"])}
    data = Dataset(make_items(12), batch_size=12, views=pipeline, view_count=2, view_seed=9)
    shown = []
    for seed in (0, 1):
        batches = [data.batch(BatchPosition(epoch, seed)) for epoch in range(2)]
        shown.append(
            {(int(k), int(v)): x for b in batches for k, v, x in zip(b.keys, b.view, b.inputs["default"], strict=True)}
        )
    assert shown[0].keys() == shown[1].keys()
    assert all(torch.equal(shown[0][pair], shown[1][pair]) for pair in shown[0])


def test_named_views_are_independent_and_the_default_view_gives_the_target() -> None:
    data = Dataset(
        make_items(), batch_size=40, views={"weak": Pipeline.from_spec(["random_crop"]), "default": Pipeline.from_spec(SPEC)}
    )
    batch = data.batch(BatchPosition(0))
    assert not torch.equal(batch.inputs["weak"], batch.inputs["default"])
    assert batch.target is not None
    assert batch.target.shape == (40, 5)  # mixed
    first = Dataset(make_items(), views={"weak": Pipeline(), "strong": Pipeline.from_spec(SPEC)}, batch_size=4)
    target = first.batch(BatchPosition(0)).target
    assert target is not None
    assert target.shape == (4,)


def test_keys_and_targets_belong_to_the_rows() -> None:
    items = make_items()
    batch = Dataset(items, batch_size=12).batch(BatchPosition(2))
    assert batch.index is not None
    assert batch.keys is not None
    assert torch.equal(batch.keys, items.keys[batch.index])
    assert torch.equal(batch.inputs["default"], to_float(items.fetch(batch.index)))


@pytest.mark.parametrize("prefetch", [1, 3])
def test_prefetching_changes_nothing(prefetch: int) -> None:
    places = [BatchPosition(r, seed=s, part=p, parts=2) for s in (0, 1) for r in (0, 1, 1, 2, 7, 3) for p in (0, 1)]
    plain, ahead = make(), make(prefetch=prefetch)
    for place in places:
        assert_same(ahead.batch(place), plain.batch(place))


def test_an_error_while_prefetching_reaches_the_caller() -> None:
    items = Items.from_tensors(torch.rand(8, 1, 4, 4))
    data = Dataset(
        items,
        batch_size=4,
        views={"default": Pipeline.from_spec([{"random_crop": {"padding": 9, "fill": "reflect"}}])},
        prefetch=2,
    )
    with pytest.raises(RuntimeError, match=r"[Pp]adding"):
        data.batch(BatchPosition(0))


def test_the_last_batch_is_dropped_or_filled_up() -> None:
    data = make(drop_last=False)
    assert data.steps_per_epoch == 5
    rows = torch.cat([data.rows(BatchPosition(r)) for r in range(5)])
    assert len(rows) == 60
    assert torch.equal(rows[50:], rows[:10])
    assert rows.unique().numel() == 50


def test_a_batch_size_above_the_data_is_reduced() -> None:
    data = make(count=10, batch_size=64)
    assert data.steps_per_epoch == 1
    assert data.batch(BatchPosition(0)).size == 10
    rows = torch.cat([data.rows(BatchPosition(0, part=part, parts=4)) for part in range(4)])
    assert rows.unique().numel() == len(rows) == 8
    with pytest.raises(ValueError, match="10 items are too few for 11 parts"):
        data.rows(BatchPosition(0, parts=11))


def test_parts_must_divide_the_batch() -> None:
    with pytest.raises(ValueError, match=r"batch_size=12 does not divide into 5 parts .*; set batch_size to 10 or 15"):
        make().rows(BatchPosition(0, parts=5))


@pytest.mark.parametrize("name", ["batch_size", "view_count", "view_refresh", "workers", "prefetch"])
def test_numbers_out_of_range_are_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}=-1: expected"):
        make(**{name: -1})


def test_an_empty_data_set_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Dataset(make_items().select(torch.tensor([], dtype=torch.int64)))


def test_tensors_that_are_not_images_are_passed_through() -> None:
    vectors = torch.randn(20, 7)
    views = {"default": Pipeline.from_spec(["horizontal_flip"]), "weak": Pipeline()}
    with pytest.warns(UserWarning, match="these are not images"):
        data = Dataset(Items.from_tensors(vectors), batch_size=5, views=views)
    batch = data.batch(BatchPosition(1))
    assert batch.index is not None
    assert batch.target is None
    assert torch.equal(batch.inputs["default"], vectors[batch.index])
    assert torch.equal(batch.inputs["weak"], vectors[batch.index])


def test_mappings_carry_their_attention_mask() -> None:
    inputs = {"input_ids": torch.arange(12).view(4, 3), "attention_mask": torch.tensor([[1, 1, 0]] * 4)}
    batch = Dataset(Items.from_tensors(inputs, [0, 1, 0, 1]), batch_size=2).batch(BatchPosition(0))
    assert batch.mask is not None
    assert batch.mask.tolist() == [[True, True, False]] * 2
    assert batch.inputs["default"]["input_ids"].shape == (2, 3)


def test_texts_must_be_encoded_first() -> None:
    with pytest.raises(ValueError, match=r"tokenize\(items, tokenizer\)"):
        Dataset(Items.from_tensors(["a", "b"]), batch_size=2).batch(BatchPosition(0))


def test_evaluation_shows_every_item_once_in_order() -> None:
    items = make_items()
    batches = list(evaluation_batches(items, 16))
    assert [batch.size for batch in batches] == [16, 16, 16, 2]
    whole = joined(batches)
    assert whole.index is not None
    assert torch.equal(whole.index, torch.arange(50))
    assert torch.equal(whole.inputs["default"], to_float(items.fetch(torch.arange(50))))


def items_of_tokens(count: int = 60) -> Items:
    texts = ["the " * (1 + 7 * row % 23) + f"w{row}" for row in range(count)]
    return tokenize(Items.from_tensors(texts), of_words(["the", *(f"w{row}" for row in range(count))]))


def shown(data: Dataset, parts: int = 1) -> list[list[int]]:
    return [
        torch.cat([data.rows(BatchPosition(step, 3, part, parts)) for part in range(parts)]).tolist()
        for step in range(2 * (data.steps_per_epoch or 0))
    ]


@pytest.mark.parametrize("options", [{}, {"drop_last": False}, {"batch_size": 90}])
def test_tokens_are_grouped_by_length_by_default(options: dict[str, Any]) -> None:
    items = items_of_tokens()
    options = {"batch_size": 8, **options}
    grouped, plain = Dataset(items, **options), Dataset(items, **options, group_by_length=False)
    assert grouped.group_by_length
    for epoch in (slice(0, grouped.steps_per_epoch), slice(grouped.steps_per_epoch, None)):
        ours, theirs = (sorted(chain.from_iterable(shown(data)[epoch])) for data in (grouped, plain))
        assert ours == theirs
    assert shown(grouped, parts=2) == shown(grouped)
    assert shown(Dataset(items, **options, prefetch=2)) == shown(grouped)


def test_grouping_saves_tokens_and_needs_lengths() -> None:
    items = items_of_tokens(400)
    taken = []
    for group in (True, False):
        data = Dataset(items, batch_size=8, group_by_length=group)
        taken.append(sum(data.batch(BatchPosition(step)).inputs["default"]["input_ids"].numel() for step in range(50)))
    assert taken[0] < 0.75 * taken[1]
    with pytest.raises(ValueError, match="group_by_length=True: these items are all of one size"):
        Dataset(Items.from_tensors(torch.rand(9, 2)), batch_size=2, group_by_length=True)
    assert not Dataset(Items.from_tensors(torch.rand(9, 2)), batch_size=2).group_by_length


@pytest.mark.parametrize("views", [["horizontal_flip"], "horizontal_flip", {}])
def test_views_are_a_mapping_by_name(views: Any) -> None:
    with pytest.raises(ValueError, match=r"views: .* expected a mapping from the name of a view to its transforms"):
        Dataset(Items.from_tensors(torch.rand(4, 3, 8, 8)), 2, views=views)
