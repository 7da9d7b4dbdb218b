"""Rotary position embeddings of exported Transformers, for any number of texts.

The exporter's optimisation fuses them into one operator, `RotaryEmbedding`, whose caches of cosines and sines must have as many
rows as the batch. A model computes them once for all texts, with one row, so that the fused operator takes a single text only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CACHES = (1, 2)  # positions of cosines and sines among the inputs of the operator
ONES = "rotary_cache_ones"
POSITIONS = 3  # position of the token positions; with them the caches have no batch axis


def expand_rotary_caches(model: ModelProto) -> ModelProto:
    """Expands the caches of every rotary embedding of `model` in place to the batch; the outputs do not change.

    A cache that has the rows of the batch stays as it is.
    """
    from onnx import numpy_helper

    graph = model.graph
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "RotaryEmbedding" and not any(node.input[POSITIONS:]):
            nodes += _expansions(node)
        nodes.append(node)
    if len(nodes) > len(graph.node):
        graph.initializer.append(numpy_helper.from_array(np.ones(2, np.int64), ONES))
        del graph.node[:]
        graph.node.extend(nodes)
    return model


def _expansions(node: NodeProto) -> list[NodeProto]:
    """Lets `node` read caches [B, T, d] and returns the nodes that make them of [1, T, d]; B is that of its first input."""
    from onnx import helper

    rows, shape = (f"{node.output[0]}_{part}" for part in ("rows", "cache_shape"))
    made = [
        helper.make_node("Shape", [node.input[0]], [rows], start=0, end=1),
        helper.make_node("Concat", [rows, ONES], [shape], axis=0),
    ]
    for position in CACHES:
        expanded = f"{node.output[0]}_cache_{position}"
        made.append(helper.make_node("Expand", [node.input[position], shape], [expanded]))
        node.input[position] = expanded
    return made
