"""What an ONNX file says of itself, and the refusal of images in another range of values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

REFUSAL = "values_must_be_between_0_and_1_divide_bytes_by_255"  # name of the node that fails, part of the runtime's message
MARGIN = 1.0  # how far above the range a value may lie: resampling overshoots a little, bytes by far


def add_metadata(model: ModelProto, info: Mapping[str, Any]) -> None:
    """Writes `info` into the metadata of `model`, one JSON value for each key."""
    from onnx import helper

    helper.set_model_props(model, {key: json.dumps(value, ensure_ascii=False) for key, value in info.items()})


def refuse_other_range(model: ModelProto, highest: float) -> None:
    """Lets the graph fail on inputs with a value above `highest` + `MARGIN`, such as bytes in place of numbers in [0, 1].

    ONNX has no assertion. A lookup in a table of one entry stands for it: inside the range its index is 0, outside 1, which
    every runtime refuses. The entry, 0, is added to the outputs, so that no optimisation removes the lookup.
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    (given,) = graph.output
    names = {part: f"range_{part}" for part in ("highest", "limit", "outside", "index", "zero", "table", "logits")}
    for node in graph.node:
        node.output[:] = [names["logits"] if name == given.name else name for name in node.output]
        node.input[:] = [names["logits"] if name == given.name else name for name in node.input]
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array(highest + MARGIN, np.float32), names["limit"]),
            numpy_helper.from_array(np.zeros(1, np.float32), names["table"]),
        ]
    )
    graph.node.extend(
        [
            helper.make_node("ReduceMax", [graph.input[0].name], [names["highest"]], keepdims=0),
            helper.make_node("Greater", [names["highest"], names["limit"]], [names["outside"]]),
            helper.make_node("Cast", [names["outside"]], [names["index"]], to=TensorProto.INT64),
            helper.make_node("Gather", [names["table"], names["index"]], [names["zero"]], name=REFUSAL),
            helper.make_node("Add", [names["logits"], names["zero"]], [given.name]),
        ]
    )
