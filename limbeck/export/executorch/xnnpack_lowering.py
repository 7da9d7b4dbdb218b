"""Rewrites a graph into equivalent operators that XNNPACK supports. An unsupported operator splits the network into parts with
copies between them, which costs a third of the latency of small networks and bytes in the file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from limbeck.export.trace import trace

aten = torch.ops.aten
ROWS, COLUMNS = 2, 3  # axes of a feature map
END = 2**31 - 1  # slice ends from here on mean "to the end"


def capture_graph(model: nn.Module, example: Tensor, *, any_batch: bool) -> GraphModule:
    """Traces a model in evaluation mode to a `GraphModule` with the parameter names of the model; see `trace`."""
    graph = trace(model, example, any_batch=any_batch).module(check_guards=False)
    assert isinstance(graph, GraphModule)
    return graph


def lower_for_xnnpack(graph: GraphModule) -> GraphModule:
    """Rewrites `graph`, as `torch.export` returns it, in place. New nodes have no shape metadata."""
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
    """Replaces strided slices of a feature map by a depthwise 1×1 convolution of ones with those strides, and slices of a whole
    axis by their input."""
    source, axis, step = _slice_arguments(node)
    if axis is not None and step == 1:
        assert isinstance(source, Node)
        return source
    value = _value(node)
    if axis not in (ROWS, COLUMNS) or value is None or value.dim() != 4 or not value.is_floating_point():
        return None
    strides = {axis: step}
    if axis == ROWS and any(_slices_columns(user) for user in node.users):
        return None  # the next slice fuses both
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
    """Returns (input, axis, step) of a slice over a whole axis; axis is None for any other slice."""
    arguments: tuple[Any, ...] = (*node.args, *(None, 0, None, None, 1)[len(node.args) :])
    source, axis, start, end, step = arguments
    whole = start in (None, 0) and (end is None or (isinstance(end, int) and end >= END))
    return source, axis if whole else None, step


def _mean(graph: GraphModule, node: Node) -> Node | None:
    """Lets the spatial mean keep its axes, and flattens them after it."""
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
    """softmax(q·kᵀ / √d)·v, without mask and dropout: the decomposition of torch handles rows that are fully masked."""
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
    """The fake tensor of the result of a node, if there is one."""
    found = node.meta.get("val") if isinstance(node, Node) else None
    return found if isinstance(found, Tensor) else None


def _constant(graph: GraphModule, value: Tensor) -> Node:
    """Adds a buffer to the graph and returns a node that reads it."""
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
"""Each returns the replacement of a node, or None to keep it."""
