"""What every model shares: the registry, the record of how a model was built, and normalisation inside the network."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from limbeck.utils.registry import Registry

registry = Registry("model")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Statistics = Sequence[float] | float | None  # per channel, one for all channels, or the default
Arguments = ParamSpec("Arguments")
Model = TypeVar("Model", bound=nn.Module)


def register_builder(name: str, *, cite: str = "") -> Callable[[Callable[Arguments, Model]], Callable[Arguments, Model]]:
    """Decorator: registers a function that builds a model, and lets each model remember its arguments.

    The arguments are recorded with their defaults, so that a saved student survives a later change of a default. `cite` is the
    BibTeX entry of its paper.
    """

    def decorate(build: Callable[Arguments, Model]) -> Callable[Arguments, Model]:
        signature = inspect.signature(build)

        @functools.wraps(build)
        def remembered(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Model:
            model = build(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            record_spec(model, name, bound.arguments)
            return model

        return registry.register(name, cite=cite)(remembered)

    return decorate


def record_spec(model: nn.Module, name: str, args: dict[str, Any]) -> None:
    """Attach to `model` how it was built. A plain attribute: class and `state_dict` stay as they are."""
    model.__dict__["built_from"] = {"model": name, "args": dict(args)}


def spec_of(model: nn.Module) -> dict[str, Any] | None:
    """How `model` was built, `{"model": name, "args": {...}}`; None where it was not built here."""
    spec: dict[str, Any] | None = model.__dict__.get("built_from")
    return spec


def require_known(name: str) -> None:
    """Refuse a name that no model carries.

    Raises:
        ValueError: the nearest names; or, of a model in a file of the user's own, how that file is given.
    """
    file = name.partition(":")[0]
    if file.endswith(".py") and not any(known.startswith(f"{file}:") for known in registry):
        raise ValueError(
            f"model {name!r} is in a file of one's own, which only runs when it is given by hand: --plugin {file} "
            f"(in Python: limbeck.recipe.load_plugin({file!r}))"
        )
    registry[name]  # asks installed packages too


def get(name: str, /, **args: Any) -> nn.Module:
    """Build the model called `name`.

    Raises:
        ValueError: an unknown name, an argument that the model does not take, or a value that it cannot use.
    """
    require_known(name)
    model: nn.Module = registry.get(name, **args)
    if spec_of(model) is None:  # a part of another package, registered without `builder`
        record_spec(model, name, args)
    return model


def names() -> list[str]:
    """The names that `get` knows, sorted."""
    return registry.names()


def count_parameters(model: nn.Module) -> int:
    """The number of parameters, shared ones counted once; buffers are not parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def require_positive(**values: int) -> None:
    """Raise a `ValueError` that names the first of `values` below one."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


class Normalize(nn.Module):
    """Images in [0, 1] to zero mean and unit deviation: (x - mean) / std per channel, shapes [B, C, H, W] → the same.

    It stands inside the network, so that whoever receives the exported model cannot forget it. Its buffers are not
    persistent: the keys of `state_dict` stay those of the plain network.

    Args:
        channels: C.
        mean, std: one number per channel, or one for all. Default: ImageNet's for three channels, otherwise 0.5.

    Raises:
        ValueError: as many statistics as there are not channels, or a deviation that is not positive; in `forward`,
            images that are not floating point or have another number of channels (which would broadcast silently).
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int, mean: Statistics = None, std: Statistics = None) -> None:
        super().__init__()
        require_positive(channels=channels)
        default = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (0.5, 0.5)
        self.register_buffer("mean", _per_channel("mean", default[0] if mean is None else mean, channels), False)
        self.register_buffer("std", _per_channel("std", default[1] if std is None else std, channels), False)
        if not bool((self.std > 0).all()):
            raise ValueError(f"std must be positive, got {std}")

    def forward(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise ValueError(f"images must be floating point in [0, 1], got {images.dtype}; divide bytes by 255")
        if images.dim() != 4 or images.shape[1] != self.mean.shape[0]:
            raise ValueError(f"expected images [B, {self.mean.shape[0]}, H, W], got {list(images.shape)}")
        return (images - self.mean) / self.std


def _per_channel(name: str, value: Sequence[float] | float, channels: int) -> Tensor:
    numbers = [float(value)] * channels if isinstance(value, int | float) else [float(number) for number in value]
    if len(numbers) != channels:
        raise ValueError(f"{name} needs {channels} values, one per channel, got {len(numbers)}")
    return torch.tensor(numbers).reshape(channels, 1, 1)


def kaiming_normal(module: nn.Module) -> None:
    """He et al. 2015 (arXiv:1502.01852) for one convolution or linear layer; for use with `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
