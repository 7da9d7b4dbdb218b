"""Items: labels, splits and choices of labels go by content."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.core.source import BatchPosition
from limbeck.data import Dataset, Items, input_for_actor


def make(count: int = 300, classes: int = 4, seed: int = 0) -> Items:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(0, classes, (count,), generator=generator)
    return Items.from_tensors(torch.rand(count, 5, generator=generator), target, classes=classes)


def label_of(items: Items) -> dict[int, int]:
    assert items.target is not None
    return dict(zip(items.keys.tolist(), items.target.tolist(), strict=True))


def test_fetch_and_select_agree() -> None:
    items = make()
    rows = torch.tensor([7, 3, 250])
    chosen = items.select(rows)
    assert len(chosen) == 3
    assert torch.equal(chosen.fetch(torch.arange(3)), items.fetch(rows))
    assert torch.equal(chosen.keys, items.keys[rows])
    assert chosen.classes == 4
    texts = Items.from_tensors(["a", "b", "c"])
    assert texts.select(torch.tensor([True, False, True])).fetch(torch.arange(2)) == ["a", "c"]


def test_number_of_classes() -> None:
    data = torch.rand(3, 2)
    assert Items.from_tensors(data, [0, 2, -100]).classes == 3
    assert Items.from_tensors(data, [0, 2, 1], class_names=["a", "b", "c", "d"]).classes == 4
    assert Items.from_tensors(data, [-100] * 3).classes is None
    assert Items.from_tensors(data).target is None


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([0, 7, 1], r"row 1 holds 7; expected 0 to 2"),
        ([0, -1, 1], r"row 1 holds -1; expected 0 to 2"),
        ([0, 1], "one for each of 3 items"),
        (torch.rand(3), "class index per item, found torch.float32"),
    ],
)
def test_wrong_targets_are_refused(targets: list[int] | torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Items.from_tensors(torch.rand(3, 2), targets, classes=3)


def test_images_are_recognised() -> None:
    assert Items.from_tensors(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).images
    assert Items.from_tensors(torch.rand(2, 3, 4, 4)).images
    assert not Items.from_tensors(torch.rand(2, 3, 4, 4) - 1).images
    assert not Items.from_tensors(torch.rand(2, 3)).images
    assert not Items.from_tensors(["text"]).images


def test_map_inputs_keeps_keys_and_labels() -> None:
    items = Items.from_tensors(["a", "bb", "ccc"], [0, 1, 0])
    encoded = items.map_inputs(lambda texts: {"length": torch.tensor([len(text) for text in texts])}, batch_size=2)
    assert encoded.fetch(torch.tensor([2]))["length"].tolist() == [3]
    assert torch.equal(encoded.keys, items.keys)
    assert label_of(encoded) == label_of(items)


@pytest.mark.parametrize("fraction", [0.1, 0.5, 2 / 3, 0.9])
def test_split_is_a_stratified_partition(fraction: float) -> None:
    items = make()
    first, second = items.split(fraction)
    assert sorted(first.keys.tolist() + second.keys.tolist()) == sorted(items.keys.tolist())
    assert len(first) == round(fraction * len(items))
    assert items.target is not None
    assert first.target is not None
    share = first.target.bincount() / items.target.bincount()
    assert (share - fraction).abs().max() < 0.03


def test_split_depends_on_content_and_seed() -> None:
    items = make()
    shuffled = items.select(torch.randperm(len(items), generator=torch.Generator().manual_seed(1)))
    assert label_of(items.split(0.7, seed=3)[0]) == label_of(shuffled.split(0.7, seed=3)[0])
    assert label_of(items.split(0.7, seed=3)[0]) != label_of(items.split(0.7, seed=4)[0])


def test_split_keeps_identical_items_together() -> None:
    unique = make()
    doubled = unique.select(torch.arange(len(unique)).repeat(2))
    first, second = doubled.split(0.5)
    assert not set(first.keys.tolist()) & set(second.keys.tolist())


def test_split_spreads_classes_of_one_item() -> None:
    items = Items.from_tensors(torch.rand(100, 2), torch.arange(100))
    assert [len(part) for part in items.split(0.9)] == [90, 10]
    assert [len(part) for part in Items.from_tensors(torch.rand(100, 2)).split(0.9)] == [90, 10]


@pytest.mark.parametrize("fraction", [0, 1, 1.5])
def test_split_refuses_fractions_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match="expected a number between 0 and 1"):
        make().split(fraction)


@pytest.mark.parametrize(("fraction", "count"), [(1e-6, 0), (1 - 1e-6, 300)])
def test_a_split_that_leaves_a_part_empty_is_refused(fraction: float, count: int) -> None:
    items = make()
    assert len(items) == 300
    with pytest.raises(ValueError, match=f"of 300 items is {count} of them, and both parts need some"):
        items.split(fraction)


def test_keep_labels_is_balanced_and_depends_on_keys() -> None:
    items = make()
    few = items.keep_labels(42)
    assert len(few) == len(items)
    assert few.classes == 4
    kept = few.labelled()
    assert kept.target is not None
    assert sorted(kept.target.bincount().tolist()) == [10, 10, 11, 11]
    truth = label_of(items)
    assert all(truth[key] == label for key, label in label_of(kept).items())
    shuffled = items.select(torch.randperm(len(items), generator=torch.Generator().manual_seed(1)))
    assert label_of(shuffled.keep_labels(42).labelled()) == label_of(kept)
    assert label_of(items.keep_labels(42, seed=1).labelled()) != label_of(kept)
    more = label_of(items.keep_labels(80).labelled())
    assert label_of(kept).items() <= more.items()  # the larger choice contains the smaller one


def test_keep_labels_takes_more_of_others_if_a_class_runs_out() -> None:
    items = Items.from_tensors(torch.rand(60, 2), [0] * 3 + [1] * 20 + [2] * 37)
    kept = items.keep_labels(23).labelled()
    assert kept.target is not None
    assert kept.target.bincount().tolist() == [3, 10, 10]


def test_keep_labels_counts_labelled_items_only() -> None:
    items = make().without_labels(torch.arange(250))
    assert len(items.labelled()) == 50
    assert len(items.keep_labels(50).labelled()) == 50
    with pytest.raises(ValueError, match=r"count=51: expected 1 to 50"):
        items.keep_labels(51)
    with pytest.raises(ValueError, match="no labels"):
        Items.from_tensors(torch.rand(3, 2)).keep_labels(1)


def test_without_labels_changes_a_copy() -> None:
    items = make()
    before = items.fingerprint()
    without = items.without_labels(torch.tensor([0, 1]))
    assert items.fingerprint() == before != without.fingerprint()
    assert without.target is not None
    assert without.target[:2].tolist() == [-100, -100]


def test_fingerprint_depends_on_content_labels_and_order() -> None:
    items = make()
    assert make().fingerprint() == items.fingerprint()
    reordered = items.select(torch.arange(len(items)).flip(0))
    assert len({items.fingerprint(), make(seed=1).fingerprint(), reordered.fingerprint()}) == 3


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda texts: torch.tensor([[len(text)] for text in texts]), [[3], [1]]),
        (lambda texts: [text.upper() for text in texts], ["CCC", "A"]),
        (lambda texts: [(text, "!") for text in texts], [("ccc", "!"), ("a", "!")]),
    ],
    ids=["tensor", "texts", "pairs"],
)
def test_map_inputs_concatenates_batches(function: Any, expected: list[Any]) -> None:
    items = Items.from_tensors(["a", "bb", "ccc"]).map_inputs(function, batch_size=2)
    found = items.fetch(torch.tensor([2, 0]))
    assert (found.tolist() if isinstance(found, torch.Tensor) else found) == expected


def test_classes_are_numbered_as_in_the_training_data() -> None:
    items = Items.from_tensors(torch.rand(4, 2), [0, 1, -100, 1], class_names=["dog", "eel"])
    aligned = items.align_classes(["cat", "dog", "eel"])
    assert aligned.target is not None
    assert aligned.target.tolist() == [1, 2, -100, 2]
    assert (aligned.classes, aligned.class_names) == (3, ["cat", "dog", "eel"])
    assert torch.equal(aligned.keys, items.keys)
    for unchanged in (items.align_classes(None), items.align_classes(["dog", "eel"]), make().align_classes(["dog"])):
        assert unchanged.target is not None
        assert unchanged.class_names in (["dog", "eel"], None)
    unlabelled = Items(items.storage, items.keys, None, 2, ["dog", "eel"])
    assert unlabelled.align_classes(["eel", "dog"]).target is None
    with pytest.raises(ValueError, match=r"test data: class 'eel' is none of the 1 of the training data \(0: dog\)"):
        items.align_classes(["dog"], "test data")


@pytest.mark.parametrize(
    ("actor", "names", "expected"),
    [
        ("student", (), None),
        ("student", ("student", "teacher"), "student"),
        ("average", ("student", "teacher"), "student"),
        ("assistant", ("student", "teacher"), "teacher"),
        ("average", ("teacher",), "teacher"),
    ],
)
def test_which_input_an_actor_reads(actor: str, names: tuple[str, ...], expected: str | None) -> None:
    assert input_for_actor(actor, names) == expected


def test_the_representation_names_the_first_classes() -> None:
    names = [f"class {number}" for number in range(6)]
    items = Items.from_tensors(torch.rand(2, 2), [0, -100], class_names=names)
    shown = "0: class 0, 1: class 1, 2: class 2, 3: class 3, 4: class 4, …"
    assert repr(items) == f"Items(2, 1 labelled, classes=6 ({shown}))"
    assert repr(Items.from_tensors(["a"])) == "Items(1)"


def test_targets_of_several_parts_are_selected_split_and_renumbered() -> None:
    target = {"boxes": torch.rand(6, 2, 4), "labels": torch.tensor([[0, 1]] * 6)}
    items = Items.from_tensors(torch.rand(6, 3), target)
    assert items.classes is None
    chosen = items.select(torch.tensor([4, 1]))
    assert torch.equal(chosen.target["boxes"], target["boxes"][[4, 1]])
    assert items.fingerprint() != items.select(torch.tensor([0, 1, 2, 3, 5, 4])).fingerprint()
    first, rest = items.split(0.5)
    assert (len(first), len(rest)) == (3, 3)
    assert len(items.without_labels(torch.tensor([0])).labelled()) == 5
    named = Items(items.storage, items.keys, target, class_names=["a", "b"]).align_classes(["b", "a"])
    assert named.target["labels"].tolist() == [[1, 0]] * 6
    batch = Dataset(items, batch_size=2).batch(BatchPosition(0))
    assert batch.target["boxes"].shape == (2, 2, 4)


def test_parts_of_targets_that_are_not_finite_are_refused_with_their_row() -> None:
    boxes = torch.rand(3, 2, 4)
    boxes[1, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="boxes: row 1 holds"):
        Items.from_tensors(torch.rand(3, 3), {"boxes": boxes})
    with pytest.raises(ValueError, match="boxes: expected one for each of 3 items"):
        Items.from_tensors(torch.rand(3, 3), {"boxes": boxes[:2]})


def test_a_share_of_identical_items_says_that_they_stay_together() -> None:
    items = Items.from_tensors(torch.ones(40, 2), torch.zeros(40, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"40 items is 40 of them \(identical ones stay together, and 1 are different\)"):
        items.split(0.2)
