"""Content keys are hashes of the bytes of items."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.data import Items
from limbeck.data.content_keys import content_key, text_key


def test_keys_are_hashes_of_the_bytes() -> None:
    images = torch.randint(0, 256, (3, 1, 2, 2), dtype=torch.uint8)
    assert Items.from_tensors(images).keys.tolist() == [content_key(image.numpy().tobytes()) for image in images]
    assert Items.from_tensors(["héllo"]).keys.tolist() == [content_key("héllo".encode())]
    repeated = Items.from_tensors(torch.ones(2, 3)).keys
    assert repeated[0] == repeated[1]


def test_keys_of_mappings_cover_every_part() -> None:
    ids, mask = torch.arange(6).view(2, 3), torch.ones(2, 3, dtype=torch.bool)
    base = Items.from_tensors({"ids": ids, "mask": mask}).keys
    assert torch.equal(Items.from_tensors({"mask": mask, "ids": ids}).keys, base)
    assert (Items.from_tensors({"ids": ids, "mask": ~mask}).keys != base).all()
    assert Items.from_tensors(torch.rand(4, 2).bfloat16()).keys.unique().numel() == 4


text = st.text(max_size=6)


@settings(deadline=None)
@given(st.lists(st.one_of(st.tuples(text), st.tuples(text, text)), min_size=2, max_size=2, unique=True))
def test_different_texts_and_pairs_have_different_keys(pair: list[tuple[str, ...]]) -> None:
    assert text_key(*pair[0]) != text_key(*pair[1])


def test_keys_of_pairs_are_those_of_their_texts_in_order() -> None:
    keys = Items.from_tensors([("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a", "b")]).keys.tolist()
    assert keys[0] == keys[4] == text_key("a", "b")
    assert len(set(keys)) == 4
    assert Items.from_tensors(["ab"]).keys.tolist() == [text_key("ab")]
