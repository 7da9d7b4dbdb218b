"""Fused slices do not change the outputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from limbeck.export.onnx.fuse_slices import fuse_slices
from limbeck.export.onnx.strip_metadata import strip_metadata
from tests.export.onnx.graphs import model_of, run


@given(st.permutations([0, 1, 2, 3]), st.lists(st.integers(1, 3), min_size=2, max_size=2), st.booleans())
@settings(max_examples=15, deadline=None)
def test_slices_on_different_axes_become_one(axes: list[int], steps: list[int], twice: bool) -> None:
    second = axes[0] if twice else axes[1]
    ints = {"zero": [0], "end": [2**62], "a": [axes[0]], "b": [second], "s": [steps[0]], "t": [steps[1]]}
    constants = {name: np.array(value, dtype=np.int64) for name, value in ints.items()}
    nodes = [
        helper.make_node("Slice", ["x", "zero", "end", "a", "s"], ["between"]),
        helper.make_node("Slice", ["between", "zero", "end", "b", "t"], ["y"]),
    ]
    x = np.random.default_rng(0).random((4, 5, 6, 7), dtype=np.float32)
    before = run(model_of(nodes, constants, list(x.shape)), x)
    joined = strip_metadata(fuse_slices(model_of(nodes, constants, list(x.shape))))
    assert len(joined.graph.node) == (2 if twice else 1)
    assert np.array_equal(run(joined, x), before)


def test_a_slice_that_is_read_elsewhere_too_stays() -> None:
    ints = {"zero": [0], "end": [2**62], "a": [1], "b": [2], "s": [1]}
    constants = {name: np.array(value, dtype=np.int64) for name, value in ints.items()}
    nodes = [
        helper.make_node("Slice", ["x", "zero", "end", "a", "s"], ["between"]),
        helper.make_node("Slice", ["between", "zero", "end", "b", "s"], ["last"]),
        helper.make_node("Add", ["between", "last"], ["y"]),
    ]
    assert len(fuse_slices(model_of(nodes, constants, [2, 3, 4])).graph.node) == 3
