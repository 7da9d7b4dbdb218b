"""Early exits for any backbone, at the taps of its choice."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from limbeck.core.errors import TapError
from limbeck.core.model_io import LOGITS, preserve_modes
from limbeck.core.signals import shape_of
from limbeck.core.taps import Probe, Tap
from limbeck.models.base import get, record_spec, registry, spec_of

EXITS = "exits"
IMAGE_SIDES = (32, 224)  # of the images that are tried where no example is given
TOKENS, SAMPLES = 8, 16000
EXPANSION = 2  # channels of an exit before its classifier, as a multiple of those of the tap

Shape = Sequence[int]


class Exit(nn.Module):
    """One exit: the signal at a tap → logits [B, classes].

    A feature map [B, C, H, W] passes a bottleneck of 1×1, 3×3 (stride 2) and 1×1 convolutions, each with batch normalisation
    and ReLU, then the mean over all positions and a linear classifier. Tokens [B, T, D] are normalised, averaged over those
    that the attention mask of the model's inputs keeps, and classified; vectors [B, D] are normalised and classified.
    """

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.is_map = len(shape) == 4
        width = shape[1] if self.is_map else shape[-1]
        self.features = _bottleneck(width, min(shape[2:])) if self.is_map else nn.LayerNorm(width)
        self.classifier = nn.Linear(EXPANSION * width if self.is_map else width, classes)

    def forward(self, signal: Tensor, mask: Tensor | None = None) -> Tensor:
        features = self.features(signal)
        if self.is_map:
            features = features.mean((2, 3))
        elif features.ndim == 3 and mask is not None and mask.shape == features.shape[:2]:
            kept = mask.to(features.dtype)[..., None]
            features = (features * kept).sum(1) / kept.sum(1).clamp_min(1)
        elif features.ndim == 3:
            features = features.mean(1)
        logits: Tensor = self.classifier(features)
        return logits


class Exits(nn.ModuleDict):
    """The exits of a model by name; each is needed by its own tap alone, so that other exits can be removed."""

    independent = True

    def __init__(self) -> None:
        super().__init__()
        self.mask: Tensor | None = None  # of the inputs of the current forward pass

    def forward(self, output: Any) -> Any:
        """Returns its input: an `nn.Sequential` with exits calls all its children one after the other."""
        return output


class RunExit:
    """Forward hook of a tapped module: runs its exit if anything reads it, so that an exit nobody reads costs nothing."""

    def __init__(self, exits: Exits, name: str) -> None:
        self.exits, self.name = exits, name

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        exit = self.exits[self.name]
        if isinstance(exit, Exit) and (isinstance(output, fx.Proxy) or _is_read(exit)):
            signal = output[0] if isinstance(output, tuple | list) else output
            if isinstance(signal, Tensor) and signal.requires_grad:
                signal = signal.clone()  # a layer that changes it in place, ReLU(inplace=True), would spoil the exit's gradient
            exit(signal, self.exits.mask)


class KeepMask:
    """Forward pre-hook of the model: keeps the attention mask of its inputs for the exits."""

    def __init__(self, exits: Exits) -> None:
        self.exits = exits

    def __call__(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        self.exits.mask = kwargs.get("attention_mask")


class DropMask(KeepMask):
    """Forward hook of the model: nothing of the inputs is kept after the forward pass."""

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        self.exits.mask = None


ZHANG_2019 = """
    @inproceedings{zhang2019be,
        title = {Be Your Own Teacher: Improve the Performance of Convolutional Neural Networks via Self Distillation},
        author = {Zhang, Linfeng and Song, Jiebo and Gao, Anni and Chen, Jingwei and Bao, Chenglong and Ma, Kaisheng},
        booktitle = {International Conference on Computer Vision},
        year = {2019},
        eprint = {1905.08094},
        archiveprefix = {arXiv},
    }
"""


@registry.register("with_exits", cite=ZHANG_2019)
def with_exits(
    model: nn.Module | Mapping[str, Any],
    taps: Sequence[str],
    classes: int | None = None,
    *,
    example: Any = None,
    shapes: Mapping[str, Shape] | None = None,
) -> nn.Module:
    """A copy of a model with an exit at each tap; its code is not edited.

    The exits are the taps `exits.<tap>`, dots replaced by `_`: `student:exits.layer1`. An exit runs only where it is read; the
    model still returns its own output. All paths and keys of the `state_dict` stay as they are, those of the exits are new.

    Args:
        model: the model, or how it is built: `{"model": name, "args": {...}}`.
        taps: paths of modules that return a feature map [B, C, H, W], tokens [B, T, D] or a vector [B, D].
        classes: outputs of an exit; None: as many as the model's own.
        example: inputs for the run in which the shapes are measured, two items or more; None: zeros of a size that the first
            layer of the model takes.
        shapes: of the signals at the taps, if they are known; nothing is run then.

    Raises:
        ValueError: no tap, an unknown one, one twice, or in another order than they run in; a signal of another number of axes,
            a model that has `exits` already, or an example that cannot be made from the first layer.

    Source: Zhang et al. 2019, Be Your Own Teacher (arXiv:1905.08094), section 3.1.
    """
    new = copy.deepcopy(model) if isinstance(model, nn.Module) else get(model["model"], **model.get("args", {}))
    if not taps or isinstance(taps, str):
        raise ValueError(f"with_exits: taps is {taps!r}; name at least one module in a list, such as ['layer1']")
    if hasattr(new, EXITS):
        raise ValueError(f"with_exits: {type(new).__name__} has an attribute 'exits' already; name its own: student:exits.…")
    if twice := sorted({tap for tap in taps if list(taps).count(tap) > 1}):
        raise ValueError(f"with_exits: taps names {twice[0]!r} twice; an exit has a name of its own, leave one out")
    for tap in taps:
        if Tap.parse(tap).of != "output" or tap == "":
            raise ValueError(f"with_exits: {tap!r} is no path of a module; an exit reads the output of one, such as layer1")
        Tap.parse(tap).find(new)
    if shapes is None or classes is None:
        shapes, classes = _measure(new, taps, classes, example)
    exits = Exits()
    for tap in taps:
        shape = shapes[tap]
        if len(shape) not in (2, 3, 4):
            raise ValueError(f"with_exits: {tap!r} gives a signal of shape {tuple(shape)}; expected 2, 3 or 4 axes")
        exits[tap.replace(".", "_")] = Exit(shape, classes).to(_first(new))
    new.add_module(EXITS, exits.train(new.training))
    for tap in taps:
        new.get_submodule(tap).register_forward_hook(RunExit(exits, tap.replace(".", "_")))
    new.register_forward_pre_hook(KeepMask(exits), with_kwargs=True)
    new.register_forward_hook(DropMask(exits))
    _describe(new, model, taps, classes, shapes)
    return new


def _describe(new: nn.Module, model: Any, taps: Sequence[str], classes: int, shapes: Mapping[str, Shape]) -> None:
    """Records how the model is built again, with the shapes, so that loading runs nothing."""
    built = spec_of(new) if isinstance(model, nn.Module) else dict(model)
    new.__dict__.pop("built_from", None)
    if built is not None:
        arguments = {"model": built, "taps": list(taps), "classes": classes}
        record_spec(new, "with_exits", arguments | {"shapes": {tap: list(shapes[tap]) for tap in taps}})


def _bottleneck(channels: int, side: int) -> nn.Sequential:
    inner, outer, stride = max(channels // 2, 8), EXPANSION * channels, 2 if side > 2 else 1
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, step in ((channels, inner, 1, 1), (inner, inner, 3, stride), (inner, outer, 1, 1)):
        convolution = nn.Conv2d(inputs, outputs, kernel, step, padding=kernel // 2, bias=False)
        layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers)


def _is_read(exit: Exit) -> bool:
    """Whether a hook watches the exit or a part of it."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in exit.modules())


def _first(model: nn.Module) -> Tensor:
    """The first parameter, for device and data type."""
    return next((parameter for parameter in model.parameters() if parameter.is_floating_point()), torch.zeros(()))


# --- shapes --------------------------------------------------------------------------------------------------------------


def _measure(model: nn.Module, taps: Sequence[str], classes: int | None, example: Any) -> tuple[Mapping[str, Any], int]:
    """The shapes at the taps by one run in evaluation mode, and the number of the model's outputs if `classes` is None."""
    failed: Exception | None = None
    wanted = [*taps, LOGITS] if classes is None else list(taps)
    for inputs in [example] if example is not None else example_inputs(model):
        try:
            positions = _LargestOutput(model)
            with Probe(model, wanted) as probe, preserve_modes(model), torch.no_grad(), positions.watched():
                model.eval()
                shapes: dict[str, Any] = {tap: shape_of(signal) for tap, signal in probe(inputs).items()}
        except TapError:
            raise
        except Exception as error:
            failed = error
            continue
        if (order := [tap for tap in shapes if tap != LOGITS]) != list(taps):
            raise ValueError(
                f"with_exits: taps is {list(taps)}, and they run in the order {order}; name them in that order, in which early "
                "exit asks them"
            )
        for tap in taps:
            if len(shapes[tap]) == 2 and positions.path is not None:
                raise ValueError(
                    f"with_exits: {tap!r} lies behind the pooling, where an exit saves nothing: it gives {shapes[tap]}, while "
                    f"{positions.path!r} before it gives {positions.shape}; name a layer before the pooling"
                )
        return shapes, shapes[LOGITS][-1] if classes is None else classes
    why = f"it failed on zeros with: {failed}" if failed is not None else "its first layer does not tell what it reads"
    raise ValueError(f"with_exits: cannot make inputs for {type(model).__name__} ({why}); pass example=inputs") from failed


class _LargestOutput:
    """The last module with parameters whose output has positions: a map [B, C, H, W] or tokens [B, T, D]."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.path: str | None = None
        self.shape: tuple[int, ...] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watches the forward passes inside the block."""
        handles = [
            module.register_forward_hook(functools.partial(self._note, path))
            for path, module in self.model.named_modules()
            if path and any(True for _ in module.parameters())
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _note(self, path: str, module: nn.Module, args: Any, output: Any) -> None:
        signal = output[0] if isinstance(output, tuple | list) and output else output
        if isinstance(signal, Tensor) and signal.ndim > 2:
            self.path, self.shape = path, tuple(signal.shape)


def example_inputs(model: nn.Module) -> list[Any]:
    """Inputs of zeros that the first layer with parameters takes."""
    device = _first(model).device
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            return [torch.zeros(2, layer.in_channels, side, side, device=device) for side in IMAGE_SIDES]
        if isinstance(layer, nn.Conv1d):
            return [torch.zeros(2, layer.in_channels, SAMPLES, device=device)]
        if isinstance(layer, nn.Linear):
            return [torch.zeros(2, layer.in_features, device=device)]
        if isinstance(layer, nn.Embedding):
            tokens = torch.zeros(2, TOKENS, dtype=torch.long, device=device)
            return [{"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, tokens]
    return []
