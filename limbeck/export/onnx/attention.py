"""Simplifies the attention of exported Transformers. In small students the reshapes around it, and the fifteen operators that
expand a padding mask to pairs of tokens, take as long as a layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.export.text_models import IDS, MASK

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

HEADS_FIRST = [0, 2, 1, 3]  # [B, T, heads, d] ↔ [B, heads, T, d]
PAIRS = "attended"  # name of the mask over pairs of tokens
PAIR_MASK, VECTOR_INPUTS = 3, 3  # index of the mask among the inputs of attention; the number of inputs before it
MERGED_AXES = 3  # of [B, T, heads·d], which attention reads and gives where it splits the heads itself
PROBE_TOKENS = 2048  # length of the texts that probe a mask: longer than windows of local attention


def simplify_attention(model: ModelProto) -> ModelProto:
    """Rewrites the attention of `model` in place to read [B, T, heads·d] and, if its mask hides padding only, one mask made
    from the padding mask. The outputs do not change. The model must still contain the shapes between nodes.
    """
    graph = model.graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    producers = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "Attention"]:
        _fuse_head_split(graph, node, producers, shapes)
    names = {node.input[PAIR_MASK] for node in graph.node if node.op_type == "Attention" and len(node.input) > PAIR_MASK}
    if names and MASK in [each.name for each in graph.input] and all(_is_padding_mask(model, name) for name in names):
        _insert_padding_mask(graph)
    _remove_unused(graph)
    return model


def _fuse_head_split(graph: GraphProto, node: NodeProto, producers: Mapping[str, NodeProto], shapes: Mapping[str, Any]) -> None:
    """Lets an attention node split the heads itself, if the reshapes and transpositions around it do only that."""
    from onnx import helper

    sources = [_source_of_heads(producers, name) for name in node.input[:VECTOR_INPUTS]]
    heads = [shapes[name][1].dim_value if name in shapes else 0 for name in node.input[:VECTOR_INPUTS]]
    merge = _merge_of_heads(graph, node.output[0])
    if merge is None or not all(sources) or not all(heads):
        return
    if any(len(shapes.get(name or "", ())) != MERGED_AXES for name in (*sources, merge.output[0])):
        return  # a reshape to [B·T, heads·d] is one with that of the heads, as before the projections of GPT-2
    for position, name in enumerate(sources):
        assert name is not None
        node.input[position] = name
    node.output[0] = merge.output[0]
    node.attribute.append(helper.make_attribute("q_num_heads", heads[0]))
    node.attribute.append(helper.make_attribute("kv_num_heads", heads[1]))
    graph.node.remove(merge)


def _source_of_heads(producers: Mapping[str, NodeProto], name: str) -> str | None:
    """The name of [B, T, heads·d] from which [B, heads, T, d] called `name` was made, or None."""
    transposed = producers.get(name)
    if transposed is None or not _swaps_heads(transposed):
        return None
    reshape = producers.get(transposed.input[0])
    return reshape.input[0] if reshape is not None and reshape.op_type == "Reshape" else None


def _merge_of_heads(graph: GraphProto, name: str) -> NodeProto | None:
    """The reshape to [B, T, heads·d] after the transposition of an attention output, if nothing else reads that."""
    transposed = [node for node in graph.node if name in node.input]
    if len(transposed) != 1 or not _swaps_heads(transposed[0]):
        return None
    reshape = [node for node in graph.node if transposed[0].output[0] in node.input]
    return reshape[0] if len(reshape) == 1 and reshape[0].op_type == "Reshape" else None


def _swaps_heads(node: NodeProto) -> bool:
    perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
    return node.op_type == "Transpose" and perm == HEADS_FIRST


def _is_padding_mask(model: ModelProto, name: str) -> bool:
    """Whether the mask called `name` hides the padding and nothing else; computed on two long texts with different padding."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    probe = ModelProto()
    probe.CopyFrom(model)
    del probe.graph.output[:]
    probe.graph.output.append(helper.make_tensor_value_info(name, TensorProto.BOOL, None))
    _remove_unused(probe.graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    is_token = np.arange(PROBE_TOKENS) < np.array([[3], [PROBE_TOKENS - 1]])
    try:
        session = onnxruntime.InferenceSession(probe.SerializeToString(), options, providers=["CPUExecutionProvider"])
        empty = np.zeros(is_token.shape, np.int64)
        feed = {each.name: empty + is_token if each.name == MASK else empty for each in session.get_inputs()}
        (mask,) = session.run(None, feed)
        pairs = (2, 1, PROBE_TOKENS, PROBE_TOKENS)
        return np.array_equal(np.broadcast_to(mask, pairs), np.broadcast_to(is_token[:, None, None], pairs))
    except Exception:  # not boolean, of another shape, or not for so many tokens
        return False


def _insert_padding_mask(graph: GraphProto) -> None:
    """Lets every attention node read one mask [B, 1, T, T], made from the padding mask."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"axes": [1, 2], "one": [1], "ones": [1, 1]}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), _tensor_name(name)) for name, value in constants.items())
    mask_nodes = [
        helper.make_node("Cast", [MASK], [_tensor_name("flags")], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", [_tensor_name("flags"), _tensor_name("axes")], [_tensor_name("columns")]),
        helper.make_node("Shape", [MASK], [_tensor_name("length")], start=1),
        helper.make_node(
            "Concat", [_tensor_name("ones"), _tensor_name("length"), _tensor_name("one")], [_tensor_name("shape")], axis=0
        ),
        helper.make_node("Expand", [_tensor_name("columns"), _tensor_name("shape")], [PAIRS]),
    ]
    for node in graph.node:
        if node.op_type == "Attention":
            node.input[PAIR_MASK] = PAIRS
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*mask_nodes, *nodes])


def _tensor_name(part: str) -> str:
    return f"{PAIRS}_{part}"


def _remove_unused(graph: GraphProto) -> None:
    """Removes nodes, inputs and constants that nothing reads."""
    while True:
        read = Counter(name for node in graph.node for name in node.input)
        read.update(output.name for output in graph.output)
        dead = [node for node in graph.node if not any(read[name] for name in node.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    for part in (graph.initializer, graph.input):
        kept = [each for each in part if read[each.name] or each.name == IDS]
        del part[:]
        part.extend(kept)
