"""A graph in operators that XNNPACK takes over, with the same result. What it does not take over splits the network into parts
with copies between them: on small networks that costs a third of the time, and bytes in the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from limbeck.export.trace import trace

aten = torch.ops.aten
ROWS, COLUMNS = 2, 3  # axes of a map
END = 2**31 - 1  # from here on a slice means "to the end"


def capture_graph(model: nn.Module, example: Tensor, *, any_batch: bool) -> GraphModule:
    """The graph of a model at rest as a module of its own, with the model's names for its parameters; see `trace`."""
    graph = trace(model, example, any_batch=any_batch).module(check_guards=False)
    assert isinstance(graph, GraphModule)
    return graph


def lower_for_xnnpack(graph: GraphModule) -> GraphModule:
    """Rewrite `graph`, as `torch.export` made it, in place; shapes are known to its nodes, and lost to those that are new."""
    for node in list(graph.graph.nodes):
        rewrite = REWRITES.get(node.target)
        replacement = rewrite(graph, node) if rewrite is not None else None
        if replacement is not None:
            node.replace_all_uses_with(replacement)
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _slice(graph: GraphModule, node: Node) -> Node | None:
    """Every s-th row and t-th column of a map is a depthwise 1×1 convolution of ones with those strides; all of an axis is
    the input itself."""
    source, axis, step = _slice_arguments(node)
    if axis is not None and step == 1:
        assert isinstance(source, Node)
        return source
    value = _value(node)
    if axis not in (ROWS, COLUMNS) or value is None or value.dim() != 4 or not value.is_floating_point():
        return None
    strides = {axis: step}
    if axis == ROWS and any(_slices_columns(user) for user in node.users):
        return None  # what follows takes both
    if axis == COLUMNS and isinstance(source, Node) and source.target is aten.slice.Tensor and len(source.users) == 1:
        before, its_axis, its_step = _slice_arguments(source)
        if its_axis == ROWS:
            source, strides = before, {ROWS: its_step, COLUMNS: step}
    channels = value.shape[1]
    with graph.graph.inserting_before(node):
        ones = _constant(graph, torch.ones(channels, 1, 1, 1, dtype=value.dtype))
        stride = [strides.get(ROWS, 1), strides.get(COLUMNS, 1)]
        return graph.graph.call_function(aten.conv2d.default, (source, ones, None, stride, [0, 0], [1, 1], channels))


def _slices_columns(node: Node) -> bool:
    return node.target is aten.slice.Tensor and _slice_arguments(node)[1] == COLUMNS and _slice_arguments(node)[2] != 1


def _slice_arguments(node: Node) -> tuple[Any, int | None, int]:
    """(input, axis, step) of a slice that runs from end to end; axis None for any other."""
    arguments: tuple[Any, ...] = (*node.args, *(None, 0, None, None, 1)[len(node.args) :])
    source, axis, start, end, step = arguments
    whole = start in (None, 0) and (end is None or (isinstance(end, int) and end >= END))
    return source, axis if whole else None, step


def _mean(graph: GraphModule, node: Node) -> Node | None:
    """The average over space keeps its axes, which are flattened after it."""
    arguments: tuple[Any, ...] = node.args
    source, axes, *keepdim = arguments
    value = _value(source)
    if value is None or value.dim() != 4 or any(keepdim) or node.kwargs or sorted(axis % 4 for axis in axes) != [ROWS, COLUMNS]:
        return None
    with graph.graph.inserting_before(node):
        mean = graph.graph.call_function(aten.mean.dim, (source, [2, 3], True))
        return graph.graph.call_function(aten.flatten.using_ints, (mean, 1))


def _hardsigmoid(graph: GraphModule, node: Node) -> Node:
    """min(max(x + 3, 0), 6) / 6."""
    with graph.graph.inserting_before(node):
        shifted = graph.graph.call_function(aten.add.Tensor, (node.args[0], 3.0))
        clamped = graph.graph.call_function(aten.hardtanh.default, (shifted, 0.0, 6.0))
        return graph.graph.call_function(aten.mul.Tensor, (clamped, 1 / 6))


def _attention(graph: GraphModule, node: Node) -> Node | None:
    """softmax(q·kᵀ / √d)·v, where there is neither a mask nor dropout: torch's own takes care of rows that are masked whole."""
    query, key, value, *rest = node.args
    found = _value(query)
    if any(rest) or set(node.kwargs) - {"scale"} or found is None:
        return None
    scale = node.kwargs.get("scale") or 1 / math.sqrt(found.shape[-1])
    with graph.graph.inserting_before(node):
        transposed = graph.graph.call_function(aten.transpose.int, (key, -2, -1))
        scaled = graph.graph.call_function(aten.mul.Tensor, (query, scale))
        scores = graph.graph.call_function(aten.matmul.default, (scaled, transposed))
        shares = graph.graph.call_function(aten.softmax.int, (scores, -1))
        return graph.graph.call_function(aten.matmul.default, (shares, value))


def _value(node: Any) -> Tensor | None:
    """What is known of a node's result before anything runs."""
    found = node.meta.get("val") if isinstance(node, Node) else None
    return found if isinstance(found, Tensor) else None


def _constant(graph: GraphModule, value: Tensor) -> Node:
    """A new buffer of the graph, and the node that reads it."""
    taken = {name for name, _ in graph.named_buffers()}
    name = next(name for count in range(len(taken) + 1) if (name := f"_ones_{count}") not in taken)
    graph.register_buffer(name, value)
    return graph.graph.get_attr(name)


REWRITES: dict[Any, Callable[[GraphModule, Node], Node | None]] = {
    aten.slice.Tensor: _slice,
    aten.mean.dim: _mean,
    aten.hardsigmoid.default: _hardsigmoid,
    aten.scaled_dot_product_attention.default: _attention,
}
"""Each answers with the node to take instead, or None where the node stays."""
