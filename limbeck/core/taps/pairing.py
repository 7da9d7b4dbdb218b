"""Pairs of taps at equal relative depth, chosen from the structure of two models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import copy_tensors
from limbeck.core.errors import TapError
from limbeck.core.model_io import call_model, preserve_modes
from limbeck.core.taps.encoder_layout import equal_depths, layers

DEEP = 0.3  # relative depth that the last map of a convolutional network lies beyond


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


class _MapRecorder:
    """Records the feature maps of one forward pass.

    Args:
        image: height and width of the input; None if it is no image.
    """

    def __init__(self, image: tuple[int, int] | None) -> None:
        self.image = image
        self.leaves = 0
        self.found: list[tuple[str, int, tuple[int, ...]]] = []  # path, leaf modules so far, shape
        self._width: int | None = None  # channels of the last linear layer or layer norm; None after a convolution
        self._learned = False  # whether a module with weights has run

    def after(self, path: str, module: nn.Module, output: Any) -> None:
        self.leaves += not any(True for _ in module.children())
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.numel() > 1]
        if own:
            self._learned = True
            self._width = own[0].shape[0] if isinstance(module, nn.Linear | nn.LayerNorm) else None
        if self._learned and isinstance(output, Tensor) and output.ndim == 4 and self._is_map(path, tuple(output.shape)):
            self.found.append((path, self.leaves, tuple(output.shape)))

    def _is_map(self, path: str, shape: tuple[int, ...]) -> bool:
        """Whether a signal of four axes is [B, C, H, W] and no [B, H, W, C], and no part of an attention."""
        if any("attn" in part or "attention" in part for part in path.lower().split(".")):
            return False
        channels_last = self._width is not None and self._width == shape[3] != shape[1]
        inside = self.image is None or (shape[2] <= self.image[0] and shape[3] <= self.image[1])
        return inside and not channels_last


def feature_maps(model: nn.Module, inputs: Any) -> list[FeatureMap]:
    """All modules whose output is a map [B, C, H, W], in the order in which they finish.

    Left out are modules before the first weights (normalisation of the input), which no training changes, maps [B, H, W, C],
    and the inside of attention.
    """
    given = inputs if isinstance(inputs, Tensor) else next((v for v in dict(inputs).values() if isinstance(v, Tensor)), None)
    image = tuple(given.shape[2:]) if given is not None and given.ndim == 4 else None
    recorder = _MapRecorder(image)  # type: ignore[arg-type]

    def hook(path: str) -> Callable[..., None]:
        return lambda module, args, output: recorder.after(path, module, output)

    handles = [module.register_forward_hook(hook(path)) for path, module in model.named_modules() if path]
    try:
        with torch.no_grad(), preserve_modes(model):
            call_model(model.eval(), copy_tensors(inputs))
    finally:
        for handle in handles:
            handle.remove()
    return [FeatureMap(path, count / max(recorder.leaves, 1), shape) for path, count, shape in recorder.found]


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

    Without `kinds`, each stage end of the student is paired with the teacher's nearest one; each of the teacher's is paired
    once, with the closest. With `kinds` of signals at an
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
        name = type(model).__name__
        if not ends:
            raise TapError(
                f"taps 'auto': no module of {name} gives a feature map [B, C, H, W]; name the taps (of texts: hidden(-1))"
            )
        if ends[-1].position < DEEP:
            raise TapError(
                f"taps 'auto': {name} gives feature maps at its start only ({ends[-1].path}), such as a Vision Transformer's "
                "patches; name the taps, such as hidden(-1)"
            )
    nearest = {end: min(theirs, key=lambda other: abs(other.position - end.position)) for end in ours}
    kept: dict[str, FeatureMap] = {}  # by the teacher's path: of several stages that meet one of the teacher's, the closest
    for end, other in nearest.items():
        best = kept.get(other.path)
        if best is None or abs(other.position - end.position) < abs(other.position - best.position):
            kept[other.path] = end
    return [(end.path, other.path) for end, other in nearest.items() if kept[other.path] is end]


def _count_layers(model: nn.Module, kinds: Sequence[str]) -> int:
    try:
        return len(layers(model))
    except TapError as error:
        raise TapError(f"taps 'auto' ({', '.join(kinds)} of numbered layers): {error}") from error
