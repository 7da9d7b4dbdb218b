"""Makes a student from some layers of the teacher."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from limbeck.models.shrink.transformers_variants import build_same_class

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


def init_from_teacher(teacher: PreTrainedModel, layers: Sequence[int]) -> PreTrainedModel:
    """Makes a student of the teacher's class with some of its layers and all other parts: embeddings, pooler, head.

    All weights are copied, the initialisation of DistilBERT, which keeps the layers 0, 2, 4, 7, 9 and 11 of twelve. Works for
    every model of Transformers with one stack of layers, text or image.

    Args:
        teacher: not changed; the student shares no storage with it.
        layers: indices of the layers to keep, from 0 in ascending order; negative ones count from the end.

    Returns:
        A model in the teacher's precision and on its device, every parameter trainable, in evaluation mode.

    Raises:
        ValueError: no layers, an index out of range, repeated or unordered layers, or a model without one stack of layers (an
            encoder with a decoder; ALBERT, which repeats one shared layer).

    Source: Sanh et al. 2019 (DistilBERT, arXiv:1910.01108).
    """
    stack = layer_stack(teacher)
    chosen = _counted_from_zero(layers, teacher.config.num_hidden_layers)
    state = with_layers(teacher.state_dict(), stack, chosen)
    return build_same_class(teacher, config_of_depth(teacher.config, chosen), state)


def layer_stack(model: PreTrainedModel) -> str:
    """Returns the path of the `nn.ModuleList` of the layers: the outermost one with items of one class, one per layer.

    Raises:
        ValueError: there is none, or more than one.
    """
    name, count = type(model).__name__, getattr(model.config, "num_hidden_layers", None)
    if getattr(model.config, "is_encoder_decoder", False):
        raise ValueError(f"{name} has an encoder and a decoder; expected a model with one stack of layers")
    lists = {path: module for path, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    stacks = [path for path, items in lists.items() if len(items) == count and len({type(item) for item in items}) == 1]
    outermost = [path for path in stacks if not any(path.startswith(f"{other}.") for other in stacks)]
    if len(outermost) != 1:
        found = ", ".join(outermost) or "none (models such as ALBERT repeat one shared layer: set num_hidden_layers instead)"
        raise ValueError(f"{name} must have one list of its {count} layers; found {found}")
    return str(outermost[0])


def config_of_depth(config: PreTrainedConfig, chosen: Sequence[int]) -> PreTrainedConfig:
    """Returns a copy of `config` for the layers `chosen`, each with its own type (local or global attention)."""
    changed = copy.deepcopy(config)
    changed.num_hidden_layers = len(chosen)
    for field, value in config.to_dict().items():
        if field.endswith("layer_types") and isinstance(value, list | tuple):
            setattr(changed, field, [value[layer] for layer in chosen])
    return changed


def with_layers(state: dict[str, Tensor], stack: str, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Returns `state` with the layers `chosen`, renumbered; keys outside the stack are kept."""
    place = {str(layer): str(index) for index, layer in enumerate(chosen)}
    kept = {}
    for key, tensor in state.items():
        if not key.startswith(f"{stack}."):
            kept[key] = tensor
            continue
        layer, _, rest = key.removeprefix(f"{stack}.").partition(".")
        if layer in place:
            kept[f"{stack}.{place[layer]}.{rest}"] = tensor
    return kept


def _counted_from_zero(layers: Sequence[int], count: int) -> list[int]:
    if not layers:
        raise ValueError(f"layers is empty; name at least one of the teacher's {count}, such as {[0, count // 2]}")
    wrong = [layer for layer in layers if not -count <= layer < count]
    if wrong:
        raise ValueError(
            f"layers={list(layers)}: the teacher has {count} layers, 0 to {count - 1}; there is no layer {wrong[0]}"
        )
    chosen = [layer % count for layer in layers]
    if any(later <= earlier for earlier, later in pairwise(chosen)):
        raise ValueError(f"layers={list(layers)} must ascend without repeats; counted from 0 they are {chosen}")
    return chosen
