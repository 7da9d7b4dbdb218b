"""What an ONNX file says of itself, and the refusal of images in another range of values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.export.value_range import ValueRange

if TYPE_CHECKING:
    from onnx import ModelProto

# names of the nodes that fail, part of the runtime's message
TOO_HIGH = "values_must_be_between_0_and_1_divide_bytes_by_255"
TOO_LOW = "values_must_be_between_0_and_1_do_not_normalise_them"


def add_metadata(model: ModelProto, info: Mapping[str, Any]) -> None:
    """Writes `info` into the metadata of `model`, one JSON value for each key."""
    from onnx import helper

    helper.set_model_props(model, {key: json.dumps(value, ensure_ascii=False) for key, value in info.items()})


def refuse_other_range(model: ModelProto, allowed: ValueRange) -> None:
    """Lets the graph fail on inputs of another range, such as bytes, or values normalised outside.

    ONNX has no assertion. A lookup in a table of one entry stands for it: inside the range its index is 0, outside 1, which
    every runtime refuses. The entry, 0, is added to the outputs, so that no optimisation removes the lookup.
    """
    from onnx import numpy_helper

    graph = model.graph
    (given,) = graph.output
    logits = "range_logits"
    for node in graph.node:
        node.output[:] = [logits if name == given.name else name for name in node.output]
        node.input[:] = [logits if name == given.name else name for name in node.input]
    between = "range_checked"
    graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.float32), "range_table"))
    _refuse(model, "ReduceMax", "Greater", allowed.most, TOO_HIGH, (logits, between))
    _refuse(model, "ReduceMin", "Less", allowed.least, TOO_LOW, (between, given.name))


def _refuse(model: ModelProto, reduce: str, compare: str, limit: float, name: str, between: tuple[str, str]) -> None:
    """Adds one lookup between two values of the graph; it fails if the reduced input is beyond the limit."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    reached, bound, outside, index, zero = (f"{name}_{part}" for part in ("reached", "bound", "outside", "index", "zero"))
    graph.initializer.append(numpy_helper.from_array(np.array(limit, np.float32), bound))
    graph.node.extend(
        [
            helper.make_node(reduce, [graph.input[0].name], [reached], keepdims=0),
            helper.make_node(compare, [reached, bound], [outside]),
            helper.make_node("Cast", [outside], [index], to=TensorProto.INT64),
            helper.make_node("Gather", ["range_table", index], [zero], name=name),
            helper.make_node("Add", [between[0], zero], [between[1]]),
        ]
    )
