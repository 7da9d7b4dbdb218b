"""The model registry, the record of how a model was built, and input normalisation."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor, nn

from limbeck.core.ensemble_module import EnsembleModule
from limbeck.core.reference_module import ReferenceModule
from limbeck.models.size_limit import build_within_limits
from limbeck.utils.finite import require_finite
from limbeck.utils.registry import Registry

registry = Registry("model")

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

MOST_UNITS = 10_000_000  # of a layer, classes, pixels of a side, …

Statistics = Sequence[float] | float | None  # per channel, one for all channels, or None for the default
Arguments = ParamSpec("Arguments")
Model = TypeVar("Model", bound=nn.Module)


def register_builder(name: str, *, cite: str = "") -> Callable[[Callable[Arguments, Model]], Callable[Arguments, Model]]:
    """Decorator that registers a function that builds a model, and records the arguments in each model.

    The arguments are recorded with their defaults, so that a saved student does not depend on later changes of defaults.
    `cite` is the BibTeX entry of the paper.
    """

    def decorate(build: Callable[Arguments, Model]) -> Callable[Arguments, Model]:
        signature = inspect.signature(build)

        @functools.wraps(build)
        def remembered(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Model:
            require_finite(name, {str(place): each for place, each in enumerate(args)} | dict(kwargs))
            model = build_within_limits(lambda: build(*args, **kwargs))
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            record_spec(model, name, bound.arguments)
            return model

        return registry.register(name, cite=cite)(remembered)

    return decorate


def record_spec(model: nn.Module, name: str, args: dict[str, Any]) -> None:
    """Records how `model` was built in a plain attribute, so that class and `state_dict` do not change."""
    model.__dict__["built_from"] = {"model": name, "args": dict(args)}


def spec_of(model: nn.Module) -> dict[str, Any] | None:
    """Returns how `model` was built, `{"model": name, "args": {...}}`, or None if unknown.

    Of an exit, a variant or an ensemble it holds those of its models.
    """
    if isinstance(model, ReferenceModule | EnsembleModule):
        return model.spec(spec_of)
    spec: dict[str, Any] | None = model.__dict__.get("built_from")
    return spec


def require_known(name: str) -> None:
    """Checks that a model is registered.

    Raises:
        ValueError: an unknown name; the message has the nearest names, or how to load the file that defines the model.
    """
    file = name.partition(":")[0]
    if file.endswith(".py") and not any(known.startswith(f"{file}:") for known in registry):
        raise ValueError(
            f"model {name!r} is defined in a file, which only runs if it is given explicitly: --plugin {file} "
            f"(in Python: limbeck.recipe.load_plugin({file!r}))"
        )
    registry[name]  # loads entry points of installed packages too


def get(name: str, /, **args: Any) -> nn.Module:
    """Builds the model called `name`.

    Raises:
        ValueError: an unknown name, an unknown argument, or an invalid value.
    """
    require_known(name)
    model: nn.Module = registry.get(name, **args)
    if spec_of(model) is None:  # of another package, registered without `register_builder`
        record_spec(model, name, args)
    return model


def names() -> list[str]:
    """Returns the names of all models, sorted."""
    return registry.names()


def count_parameters(model: nn.Module) -> int:
    """Returns the number of parameters; shared ones count once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def require_positive(**values: int) -> None:
    """Raises a `ValueError` that names the first of `values` below one, or above all that a model can have (`MOST_UNITS`)."""
    for name, value in values.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
        if value > MOST_UNITS:
            raise ValueError(f"{name} must be at most {MOST_UNITS:,}, got {value}")


class Normalize(nn.Module):
    """Normalises images in [0, 1] to zero mean and unit deviation: (x - mean) / std per channel, [B, C, H, W] → the same.

    It is part of the network, so that an exported model contains it. Its buffers are not persistent: the keys of `state_dict`
    are those of the plain network.

    Args:
        channels: C.
        mean, std: one number per channel, or one for all. Default: ImageNet's for three channels, otherwise 0.5.

    Raises:
        ValueError: a wrong number of statistics, or a deviation that is not positive; in `forward`, images that are not
            floating point or have another number of channels (which would broadcast silently).
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
