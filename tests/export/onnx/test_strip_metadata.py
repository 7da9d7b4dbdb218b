"""Stripped graphs are smaller and compute the same."""

from __future__ import annotations

import numpy as np
from onnx import helper

from limbeck.export.onnx.strip_metadata import strip_metadata
from tests.export.onnx.graphs import model_of, run


def test_equal_constants_are_kept_once_and_notes_go() -> None:
    weights = np.arange(3, dtype=np.float32)
    constants = {"a": weights, "b": weights.copy(), "c": weights.astype(np.float64).astype(np.float32) + 1, "unread": weights}
    nodes = [
        helper.make_node("Add", ["x", "a"], ["one"], doc_string="File /home/someone/model.py"),
        helper.make_node("Mul", ["one", "b"], ["two"]),
        helper.make_node("Sub", ["two", "c"], ["y"]),
    ]
    model = model_of(nodes, constants, [2, 3])
    x = np.random.default_rng(0).random((2, 3), dtype=np.float32)
    before = run(model, x)
    assert {each.name for each in strip_metadata(model).graph.initializer} == {"a", "c"}
    assert b"someone" not in model.SerializeToString()
    assert np.array_equal(run(model, x), before)
