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
    """A module whose output is a feature map: where it stands on the way from input to output, and its shape."""

    path: str
    position: float  # share of the leaf modules that have run when this one is done, 0 to 1
    shape: tuple[int, ...]


def feature_maps(model: nn.Module, inputs: Any) -> list[FeatureMap]:
    """Every module whose output is a map [B, C, H, W], in the order of execution, the outermost first among equals."""
    finished: list[tuple[str, int, tuple[int, ...]]] = []
    leaves = 0

    def hook(path: str, leaf: bool) -> Callable[..., None]:
        def listen(module: nn.Module, args: Any, output: Any) -> None:
            nonlocal leaves
            leaves += leaf
            if isinstance(output, Tensor) and output.ndim == 4:
                finished.append((path, leaves, tuple(output.shape)))

        return listen

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
    """The last map at each resolution: where a network has finished a stage. Of modules that end together (a block and its
    last layer) the outermost is kept, since its name is the one that people know."""
    by_size: dict[tuple[int, ...], list[FeatureMap]] = {}
    for depth in maps:
        by_size.setdefault(depth.shape[2:], []).append(depth)
    ends = []
    for group in by_size.values():
        last = max(depth.position for depth in group)
        ends.append(min((d for d in group if d.position == last), key=lambda d: d.path.count(".")))
    return [end for end in ends if min(end.shape[2:]) > 1] or ends


def pair_taps(
    student: nn.Module, teacher: nn.Module, student_inputs: Any, teacher_inputs: Any, kinds: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """Pairs of taps at equal relative depth: each stage end of the student with the teacher's nearest one; or, where `kinds` of
    signals of an encoder's layers are named, each numbered layer of the student with the teacher's nearest one.

    Of several kinds all pairs of a layer stand together: queries(1) and queries(2), keys(1) and keys(2), …

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
