"""Pairs of taps at equal relative depth, chosen from the structure of two models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import call_model, preserve_modes
from limbeck.core.taps.encoder_layout import equal_depths, layers


@dataclass(frozen=True)
class FeatureMap:
    """A module whose output is a feature map [B, C, H, W].

    Attributes:
        path: of the module.
        position: share of the leaf modules that have run when it is done, 0 to 1.
        shape: of its output.
    """

    path: str
    position: float
    shape: tuple[int, ...]


def feature_maps(model: nn.Module, inputs: Any) -> list[FeatureMap]:
    """All modules whose output is a map [B, C, H, W], in the order in which they finish."""
    finished: list[tuple[str, int, tuple[int, ...]]] = []
    leaves = 0

    def hook(path: str, leaf: bool) -> Callable[..., None]:
        def record(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal leaves
            leaves += leaf
            if isinstance(output, Tensor) and output.ndim == 4:
                finished.append((path, leaves, tuple(output.shape)))

        return record

    handles = [
        module.register_forward_hook(hook(path, not any(True for _ in module.children())))
        for path, module in model.named_modules()
        if path
    ]
    try:
        with torch.no_grad(), preserve_modes(model):
            call_model(model.eval(), inputs)
    finally:
        for handle in handles:
            handle.remove()
    return [FeatureMap(path, count / max(leaves, 1), shape) for path, count, shape in finished]


def stage_ends(maps: list[FeatureMap]) -> list[FeatureMap]:
    """The last map at each resolution, where a network has finished a stage.

    Of modules that finish together (a block and its last layer) the outermost is returned, whose name is the familiar one. Maps
    of 1×1 are left out if there are others.
    """
    by_size: dict[tuple[int, ...], list[FeatureMap]] = {}
    for found in maps:
        by_size.setdefault(found.shape[2:], []).append(found)
    ends = []
    for group in by_size.values():
        last = max(found.position for found in group)
        ends.append(min((found for found in group if found.position == last), key=lambda found: found.path.count(".")))
    return [end for end in ends if min(end.shape[2:]) > 1] or ends


def pair_taps(
    student: nn.Module, teacher: nn.Module, student_inputs: Any, teacher_inputs: Any, kinds: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of (student, teacher) taps at equal relative depth.

    Without `kinds`, each stage end of the student is paired with the teacher's nearest one. With `kinds` of signals at an
    encoder's layers, each numbered layer of the student is paired with the teacher's nearest one; all kinds of a layer come
    together: queries(1) and queries(2), keys(1) and keys(2), …

    Raises:
        TapError: one of the models has no feature maps, or no numbered layers.
    """
    if kinds:
        depths = equal_depths(*(_count_layers(model, kinds) for model in (student, teacher)))
        return [(f"{kind}({ours})", f"{kind}({theirs})") for ours, theirs in depths for kind in kinds]
    ours, theirs = stage_ends(feature_maps(student, student_inputs)), stage_ends(feature_maps(teacher, teacher_inputs))
    for model, ends in ((student, ours), (teacher, theirs)):
        if not ends:
            name = type(model).__name__
            raise TapError(
                f"taps 'auto': no module of {name} gives a feature map [B, C, H, W]; name the taps (of texts: hidden(-1))"
            )
    return [(end.path, min(theirs, key=lambda other: abs(other.position - end.position)).path) for end in ours]


def _count_layers(model: nn.Module, kinds: Sequence[str]) -> int:
    try:
        return len(layers(model))
    except TapError as error:
        raise TapError(f"taps 'auto' ({', '.join(kinds)} of numbered layers): {error}") from error
