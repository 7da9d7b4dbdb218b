"""Refuses models of absurd depth or width while they are built, before they take minutes and all memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_module_registration_hook, register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from limbeck.utils.memory import OutOfMemoryError, free_memory, gigabytes

Model = TypeVar("Model", bound=nn.Module)
LARGE = 100_000_000  # bytes, which take a tenth of a second to fill
MOST = 5_000  # modules of a model that is built from sizes; large Transformers have some thousands
FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full)  # what layers are made of


def build_within_limits(build: Callable[[], Model]) -> Model:
    """Builds a model that may have absurd sizes.

    One with a large tensor is first built without filling its tensors, which takes neither time nor memory.

    Raises:
        ValueError: more modules than `MOST`.
        OutOfMemoryError: more bytes than are free, before they are taken.
    """
    state = torch.get_rng_state()
    try:
        with _limits(_Tensors(free_memory(), refuse_large=True)):
            return build()
    except _LargeTensorError:
        torch.set_rng_state(state)
    with _limits(_Tensors(free_memory(), fill=False)):
        build()
    torch.set_rng_state(state)
    with _limits(_Tensors(free_memory())):
        return build()


@contextmanager
def _limits(tensors: _Tensors) -> Iterator[None]:
    """Counts the modules that are put into others within the block, and the bytes of their parameters."""
    count = 0

    def note_module(*_: Any) -> None:
        nonlocal count
        count += 1
        if count > MOST:
            raise ValueError(f"the model would have more than {MOST:,} modules; give it fewer layers, blocks or networks")

    def note_parameter(_: nn.Module, __: str, parameter: nn.Parameter | None) -> None:
        if parameter is not None and parameter.device.type != "meta":
            tensors.held[id(parameter)] = parameter.numel() * parameter.element_size()

    handles = register_module_module_registration_hook(note_module), register_module_parameter_registration_hook(note_parameter)
    try:
        with tensors:
            yield
    finally:
        for handle in handles:
            handle.remove()


class _LargeTensorError(Exception):
    """A tensor whose filling takes a while."""


class _Tensors(TorchFunctionMode):
    """Refuses tensors that do not fit into the memory that is free beside the parameters.

    Args:
        refuse_large: raise `_LargeTensorError` for tensors of `LARGE` bytes.
        fill: give large tensors values.

    Attributes:
        held: bytes of each parameter that is built.
    """

    def __init__(self, free: int | None, *, refuse_large: bool = False, fill: bool = True) -> None:
        super().__init__()
        self.free, self.refuse_large, self.fill = free, refuse_large, fill
        self.held: dict[int, int] = {}

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.free is not None and function in FACTORIES:
            on = torch.device(kwargs.get("device") or torch.get_default_device())
            if on.type == "cpu":
                function = self._checked(function, _shape(function, args, kwargs), kwargs.get("dtype"))
        elif not self.fill and args and isinstance(args[0], Tensor) and args[0].nbytes >= LARGE and _is_in_place(function):
            return args[0]
        return function(*args, **kwargs)

    def _checked(self, factory: Callable[..., Any], shape: Sequence[int], dtype: torch.dtype | None) -> Callable[..., Any]:
        """Returns the factory for a tensor that fits."""
        size = math.prod(shape) * (dtype or torch.get_default_dtype()).itemsize
        wanted = size + sum(self.held.values())
        if self.free is not None and wanted > self.free:
            raise OutOfMemoryError(
                f"the model would need {gigabytes(wanted)} with its tensor {list(shape)}, and {gigabytes(self.free)} of "
                "memory are free; make it smaller (width, layers, classes or vocabulary)"
            )
        if size >= LARGE and self.refuse_large:
            raise _LargeTensorError
        unfilled = size >= LARGE and not self.fill and factory is not torch.full
        return torch.empty if unfilled else factory


def _is_in_place(function: Callable[..., Any]) -> bool:
    return function.__name__.endswith("_") and not function.__name__.endswith("__") and function is not Tensor.requires_grad_


def _shape(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape that a factory is asked for; empty where it is given in another form."""
    given = kwargs.get("size", args[:1] if function is torch.full else args)
    given = given[0] if len(given) == 1 and isinstance(given[0], Sequence) else given
    return tuple(given) if not isinstance(given, Tensor) and all(isinstance(length, int) for length in given) else ()
