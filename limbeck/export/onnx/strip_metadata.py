"""Removes from an ONNX graph what no runtime needs: notes of the exporter (which contain paths of the machine), shapes between
nodes (which runtimes infer), unused constants, and duplicates of constants."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def strip_metadata(model: ModelProto) -> ModelProto:
    """Strips `model` in place; the outputs do not change. Names of nodes and tensors stay, since runtimes report them."""
    model.doc_string = ""
    del model.metadata_props[:]
    _remove_notes(model.graph)
    _share_constants(model.graph)
    return model


def _remove_notes(graph: GraphProto) -> None:
    graph.doc_string = ""
    for notes in (graph.metadata_props, graph.value_info, graph.quantization_annotation):
        del notes[:]
    for part in (*graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                _remove_notes(subgraph)


def _share_constants(graph: GraphProto) -> None:
    """Merges equal constants: most zero points and scales of a quantized graph are equal. Constants that subgraphs read by name
    stay."""
    first: dict[bytes, str] = {}
    replacement: dict[str, str] = {}
    kept = {output.name for output in graph.output} | _names_in_subgraphs(graph)
    for constant in graph.initializer:
        name, constant.name = constant.name, ""
        content = constant.SerializeToString(deterministic=True)
        constant.name = name
        if name not in kept and first.setdefault(content, name) != name:
            replacement[name] = first[content]
    for node in graph.node:
        for position, name in enumerate(node.input):
            node.input[position] = replacement.get(name, name)
    read = kept | {name for node in graph.node for name in node.input}
    constants = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(constants)


def _names_in_subgraphs(graph: GraphProto) -> set[str]:
    """Names that subgraphs of nodes (branches, loops) read."""
    names: set[str] = set()
    for node in graph.node:
        for attribute in node.attribute:
            for subgraph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                names |= {name for each in subgraph.node for name in each.input} | _names_in_subgraphs(subgraph)
    return names
