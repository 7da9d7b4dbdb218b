"""Suggests a student by size, taps by depth, and a training by the amount of data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from limbeck import models
from limbeck.cli.init.data import STUDENT, TEACHER, UserData
from limbeck.cli.init.questions import InitError
from limbeck.core.errors import TapError
from limbeck.core.model_io import call_model, preserve_modes
from limbeck.core.taps.encoder_layout import layers
from limbeck.core.taps.pairing import DEEP, feature_maps, pair_taps, stage_ends
from limbeck.recipe.schema.models import ModelSpec

SHARE = 10  # a student has about a tenth of the teacher's parameters
UPDATES = 6_000  # about as many as 15 epochs of 50,000 items
EPOCHS = (10, 60)  # at least, at most


@dataclass(frozen=True)
class StudentCandidate:
    """A model of the registry and its size."""

    model: str
    args: dict[str, Any]
    parameters: int


def suggest_student(teacher: nn.Module, data: UserData) -> StudentCandidate:
    """Returns the registered model for these inputs whose parameter count is nearest to a tenth of the teacher's.

    Raises:
        InitError: no registered model takes these inputs, such as texts.
    """
    wanted = models.count_parameters(teacher) / SHARE
    built = (ModelSpec.model_validate({"model": name, "args": args}).new(*data.sizes()) for name, args in _suitable(data))
    candidates = [
        StudentCandidate(spec["model"], _explicit_args(spec["args"]), models.count_parameters(model))
        for model, spec in _with_spec(built)
    ]
    if not candidates:
        raise InitError("no registered model takes these inputs; give one with --student (your own: my_models.py:NAME)")
    return min(candidates, key=lambda one: abs(math.log(one.parameters / wanted)))


def _suitable(data: UserData) -> Iterator[tuple[str, dict[str, Any]]]:
    inputs = data.first_inputs(1)
    if not isinstance(inputs, Tensor):
        return
    if inputs.ndim == 2:
        yield from (("mlp", {"inputs": inputs.shape[1], "hidden": [w, w]}) for w in (4, 8, 16, 32, 64, 128, 256, 512, 1024))
    if inputs.ndim != 4:
        return
    side = min(inputs.shape[2:])
    if side <= 32:
        yield from (("tiny_cnn", {"width": width, "size": max(side, 8)}) for width in (2, 3, 4, 6, 8, 12, 16, 24, 32))
    if 16 <= side <= 64:
        yield from (("resnet_cifar", {"depth": d, "width": w}) for d in (8, 14, 20) for w in (2, 4, 8, 12, 16, 24, 32, 64))
    if side > 32:
        stride = 32 if side >= 160 else 16 if side >= 96 else 8
        widths = {"small": (0.1, 0.15, 0.25, 0.35, 0.5, 0.75, 1.0), "large": (0.75, 1.0, 1.5)}
        for variant, sizes in widths.items():
            yield from (("mobilenet_v3", {"variant": variant, "width": width, "stride": stride}) for width in sizes)


def _with_spec(built: Iterator[nn.Module]) -> Iterator[tuple[nn.Module, dict[str, Any]]]:
    for model in built:
        spec = models.spec_of(model)
        assert spec is not None
        yield model, spec


def _explicit_args(args: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments that a recipe needs; the others have defaults or follow from the data."""
    named = ("hidden", "width", "size", "depth", "variant", "stride")
    return {name: value for name, value in args.items() if name in named}


def suggest_taps(student: nn.Module, teacher: nn.Module, data: UserData) -> list[tuple[str, str]]:
    """Returns pairs of taps (student, teacher) at equal relative depth; none if one of the networks has no feature maps."""
    try:
        return pair_taps(student, teacher, data.first_inputs(), data.first_inputs(actor=TEACHER))
    except TapError:
        return []


def suggest_exits(network: nn.Module, data: UserData, actor: str = STUDENT) -> list[str]:
    """Returns the modules of a network after which an exit makes sense, from its start to its end.

    These are the last map of each resolution, or else the numbered layers of an encoder.
    """
    ends = stage_ends(feature_maps(network, data.first_inputs(actor=actor)))
    if ends and ends[-1].position >= DEEP:
        return [end.path for end in ends]
    try:
        return [layer.path for layer in layers(network) if layer.side == "output" and layer.run is None]
    except TapError:
        return []


def suggest_layers(network: nn.Module, data: UserData, actor: str) -> list[str]:
    """Returns the layers of a network of any architecture: as `suggest_exits`, or else its linear layers but the last."""
    if found := suggest_exits(network, data, actor):
        return found
    ran: list[str] = []
    handles = [
        module.register_forward_hook(lambda *_, path=path: ran.append(path))
        for path, module in network.named_modules()
        if isinstance(module, nn.Linear)
    ]
    _forward(network, data, actor, handles)
    return ran[:-1]


def pair_layers(ours: Sequence[str], theirs: Sequence[str], count: int = 2) -> dict[str, str]:
    """Returns pairs of layers at equal relative depth, at most `count`; the last layers are the last pair."""
    count = min(count, len(ours), len(theirs))
    at = [[-(-number * len(own) // count) - 1 for number in range(1, count + 1)] for own in (ours, theirs)]
    return {ours[first]: theirs[second] for first, second in zip(*at, strict=True)}


def output_module(network: nn.Module, data: UserData) -> str | None:
    """Returns the module whose output is that of the student; None if the network computes it otherwise."""
    found: list[tuple[str, Any]] = []
    handles = [
        module.register_forward_hook(lambda _, __, output, path=path: found.append((path, output)))
        for path, module in network.named_modules()
        if path
    ]
    output = _forward(network, data, STUDENT, handles)
    return next((path for path, own in reversed(found) if own is output), None)


def _forward(network: nn.Module, data: UserData, actor: str, handles: Sequence[RemovableHandle]) -> Any:
    """Returns the output for the first items, and removes the hooks that have seen it."""
    try:
        with torch.no_grad(), preserve_modes(network):
            return call_model(network.eval(), data.first_inputs(2, actor))
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class SuggestedTraining:
    """Epochs, batch size and transforms of a training."""

    epochs: int
    batch_size: int
    views: list[Any]
    lr: float = 2e-3


def suggest_training(data: UserData, mirror: bool) -> SuggestedTraining:
    """Returns about `UPDATES` updates within the bounds of `EPOCHS`, with random crops (and mirroring) of images."""
    items = len(data.train_items)
    batch = 128 if items >= 10_000 else 64 if items >= 1_000 else 32
    epochs = min(max(round(UPDATES * batch / items), EPOCHS[0]), EPOCHS[1])
    side = min(data.first_inputs(1).shape[2:]) if data.train_items.images and not data.reads else 0
    crop = [{"random_crop": {"padding": max(1, side // 8)}}] if side >= 8 else []
    return SuggestedTraining(epochs, batch, crop + (["horizontal_flip"] if mirror and side else []))
