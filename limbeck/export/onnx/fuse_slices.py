"""Fuses consecutive slices on different axes, as `x[:, :, ::2, ::2]` is exported, into one. Each slice costs a pass over memory
and a kernel launch, a large part of the latency of small networks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

FIELDS = ("starts", "ends", "axes", "steps")  # inputs of a slice after the data


def fuse_slices(model: ModelProto) -> ModelProto:
    """Fuses consecutive slices of `model` in place; the outputs do not change."""
    graph = model.graph
    producers = {output: node for node in graph.node for output in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    for node in list(graph.node):
        before = producers.get(node.input[0]) if node.op_type == "Slice" else None
        if before is not None and before.op_type == "Slice" and uses[before.output[0]] == 1:
            _join(graph, before, node)
    return model


def _join(graph: GraphProto, before: NodeProto, node: NodeProto) -> None:
    from onnx import numpy_helper

    constants = {each.name: each for each in graph.initializer}
    parts: list[NDArray[np.int64]] = []
    for first, second in zip(before.input[1:], node.input[1:], strict=False):
        if first not in constants or second not in constants:
            return
        parts.append(np.concatenate([numpy_helper.to_array(constants[name]) for name in (first, second)]))
    axes = parts[FIELDS.index("axes")].tolist() if len(parts) == len(FIELDS) else [-1]
    if min(axes) < 0 or len(set(axes)) < len(axes):
        return  # negative axes, or the same axis twice: not fused
    names = [f"{node.output[0]}_{field}" for field in FIELDS]
    graph.initializer.extend(numpy_helper.from_array(part, name) for part, name in zip(parts, names, strict=True))
    del node.input[1:]
    node.input[0] = before.input[0]
    node.input.extend(names)
    graph.node.remove(before)
