"""Attention of an exported Transformer without what surrounds it: in small students its reshapes, and the fifteen operators
that turn a mask of padding into one of pairs of tokens, take as long as a layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from limbeck.export.texts import IDS, MASK

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

HEADS_FIRST = [0, 2, 1, 3]  # [B, T, heads, d] ↔ [B, heads, T, d]
PAIRS = "attended"  # what the mask of pairs of tokens is called
PAIR_MASK, VECTORS = 3, 3  # of attention's inputs, that which is a mask, and how many before it are vectors of tokens
WIDE = 2048  # tokens of the texts on which a mask is looked at: wider than windows of local attention


def plain_attention(model: ModelProto) -> ModelProto:
    """Change the attention of `model`, in place, to read [B, T, heads·d] and, where that is what its mask says, the mask of
    padding alone; the result is the same. The shapes between nodes must still be known.
    """
    graph = model.graph
    shapes = {value.name: value.type.tensor_type.shape.dim for value in graph.value_info}
    made = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "Attention"]:
        _heads_inside(graph, node, made, shapes)
    names = {node.input[PAIR_MASK] for node in graph.node if node.op_type == "Attention" and len(node.input) > PAIR_MASK}
    if names and MASK in [each.name for each in graph.input] and all(_hides_padding(model, name) for name in names):
        _mask_of_padding(graph)
    _without_unread(graph)
    return model


def _heads_inside(graph: GraphProto, node: NodeProto, made: Mapping[str, NodeProto], shapes: Mapping[str, Any]) -> None:
    """Let one attention split the heads itself, where reshapes and transpositions around it do nothing else."""
    from onnx import helper

    before = [_split(made, name) for name in node.input[:VECTORS]]
    heads = [shapes[name][1].dim_value if name in shapes else 0 for name in node.input[:VECTORS]]
    after = _joined(graph, node.output[0])
    if after is None or not all(before) or not all(heads):
        return
    for place, name in enumerate(before):
        assert name is not None
        node.input[place] = name
    node.output[0] = after.output[0]
    node.attribute.append(helper.make_attribute("q_num_heads", heads[0]))
    node.attribute.append(helper.make_attribute("kv_num_heads", heads[1]))
    graph.node.remove(after)


def _split(made: Mapping[str, NodeProto], name: str) -> str | None:
    """What [B, T, heads·d] was before it became [B, heads, T, d]."""
    turned = made.get(name)
    if turned is None or not _turns(turned):
        return None
    shaped = made.get(turned.input[0])
    return shaped.input[0] if shaped is not None and shaped.op_type == "Reshape" else None


def _joined(graph: GraphProto, name: str) -> NodeProto | None:
    """The reshape to [B, T, heads·d] that alone reads an attention's output, once it is turned."""
    turned = [node for node in graph.node if name in node.input]
    if len(turned) != 1 or not _turns(turned[0]):
        return None
    shaped = [node for node in graph.node if turned[0].output[0] in node.input]
    return shaped[0] if len(shaped) == 1 and shaped[0].op_type == "Reshape" else None


def _turns(node: NodeProto) -> bool:
    perm = next((list(each.ints) for each in node.attribute if each.name == "perm"), None)
    return node.op_type == "Transpose" and perm == HEADS_FIRST


def _hides_padding(model: ModelProto, name: str) -> bool:
    """Whether the tensor called `name` tells of every pair of tokens whether the second is padding, and nothing more: it is
    computed for two long texts, padded differently."""
    import onnxruntime
    from onnx import ModelProto, TensorProto, helper

    asked = ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.append(helper.make_tensor_value_info(name, TensorProto.BOOL, None))
    _without_unread(asked.graph)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    real = np.arange(WIDE) < np.array([[3], [WIDE - 1]])
    try:
        session = onnxruntime.InferenceSession(asked.SerializeToString(), options, providers=["CPUExecutionProvider"])
        empty = np.zeros(real.shape, np.int64)
        feed = {each.name: empty + real if each.name == MASK else empty for each in session.get_inputs()}
        (found,) = session.run(None, feed)
        square = (2, 1, WIDE, WIDE)
        return np.array_equal(np.broadcast_to(found, square), np.broadcast_to(real[:, None, None], square))
    except Exception:  # not of booleans, not of this shape, or not for so many tokens: no such mask
        return False


def _mask_of_padding(graph: GraphProto) -> None:
    """Let every attention read [B, 1, T, T], made of the mask of padding once."""
    from onnx import TensorProto, helper, numpy_helper

    constants = {"axes": [1, 2], "one": [1], "ones": [1, 1]}
    graph.initializer.extend(numpy_helper.from_array(np.array(value), _named(name)) for name, value in constants.items())
    first = [
        helper.make_node("Cast", [MASK], [_named("flags")], to=TensorProto.BOOL),
        helper.make_node("Unsqueeze", [_named("flags"), _named("axes")], [_named("columns")]),
        helper.make_node("Shape", [MASK], [_named("length")], start=1),
        helper.make_node("Concat", [_named("ones"), _named("length"), _named("one")], [_named("shape")], axis=0),
        helper.make_node("Expand", [_named("columns"), _named("shape")], [PAIRS]),
    ]
    for node in graph.node:
        if node.op_type == "Attention":
            node.input[PAIR_MASK] = PAIRS
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*first, *rest])


def _named(part: str) -> str:
    return f"{PAIRS}_{part}"


def _without_unread(graph: GraphProto) -> None:
    """Take out nodes whose results nobody reads, and inputs and constants likewise."""
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
