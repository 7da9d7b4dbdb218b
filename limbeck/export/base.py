"""What every export format does: write a model as a file, and open the file again in the runtime it is meant for.

    from limbeck.export import formats

    onnx = formats.get("onnx")
    onnx.write(student, Path("student-int8.onnx"), images[:2], precision="int8", calibration=[images])
    logits = onnx.open(Path("student-int8.onnx"))(images)

A new format is one subclass of `Format` with `@formats.register(name)` above it.
"""

from __future__ import annotations

import copy
import importlib
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from limbeck.export.errors import ExportError
from limbeck.export.text_models import IDS, MASK, first_tokens, token_logits
from limbeck.export.trace import single_output
from limbeck.models import MissingPackageError
from limbeck.utils.registry import Registry

formats = Registry("format")
INSTALL_COMMAND = "pip install 'limbeck[export]'"
Inputs: TypeAlias = Tensor | Mapping[str, Tensor]
"""What a model is called with: one tensor `[N, …]`, or tokens, the keyword arguments of a model of texts, each `[N, T]`."""


@dataclass(frozen=True)
class Runner:
    """A file opened in its runtime, on one thread: `runner(inputs)`, `[N, *shape]` in, outputs `[N, …]` out, for any N.

    Attributes:
        run: the call; it loops where the file is fixed to one item.
        shape: of one item, without the batch axis; empty where any will do, as with texts.
        dtype: of the inputs.
        names: of the inputs of a model of texts, which is called with a mapping of them, each `[N, T]` for any T; else empty.
    """

    run: Callable[[Any], Tensor]
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    names: tuple[str, ...] = ()

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.run(inputs)

    def like(self, noise: Tensor) -> Inputs:
        """Inputs of the kind that is read here, of the shape of `noise`, numbers in [0, 1]; where whole ones are read, zeros,
        and a text without padding."""
        if not self.names:
            return noise.to(self.dtype)
        empty = torch.zeros(noise.shape, dtype=self.dtype)
        return {name: torch.ones_like(empty) if name == MASK else empty for name in self.names}


class Format(ABC):
    """One kind of file, and the runtime that reads it.

    Attributes:
        name: as recipes and the command line write it.
        suffix: of its files, with the dot.
        precisions: what it can be written in, of "fp32" and "int8".
        packages: the modules that opening a file imports; where one is absent, the error says how to install it.
        writers: the modules that writing a file imports beside them.
        opset: the version of the operators that its files are made of, where it has one.
        texts: whether models of texts can be written.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    packages: ClassVar[tuple[str, ...]] = ()
    writers: ClassVar[tuple[str, ...]] = ()
    opset: ClassVar[int | None] = None
    texts: ClassVar[bool] = False

    def write(
        self, model: nn.Module, path: Path, example: Inputs, *, precision: str = "fp32", calibration: Sequence[Tensor] = ()
    ) -> None:
        """Write `model` to `path`, whole or not at all. The model stays as it is: a copy of it, on the CPU and in evaluation
        mode, is what is exported.

        Args:
            example: inputs `[N, …]` as the model takes them, N ≥ 1; of texts a mapping with `input_ids`, as a tokenizer gives.
            precision: one of `precisions`.
            calibration: batches of real training inputs; int8 takes the ranges of activations from them. Models of texts need
                none: their activations are measured as they come.

        Raises:
            ExportError: the model cannot be exported: reason, remedy, and the line to blame where there is one.
            ValueError: a precision that the format does not have; fewer than two distinct items to calibrate on.
            MissingPackageError: a package is missing.
        """
        if precision not in self.precisions:
            raise ValueError(f"{self.name} has no precision {precision!r}; expected one of {', '.join(self.precisions)}")
        if isinstance(example, Mapping) and IDS in example:
            self.require_texts()
        elif precision != "fp32":
            check_calibration(calibration)
        self.require_packages(writing=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        frozen, items = frozen_copy(model), first_two(example)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            temporary = Path(folder) / path.name
            self._write(self._prepared(frozen, items), temporary, items, precision, calibration)
            shutil.move(temporary, path)

    def _prepared(self, model: nn.Module, example: Inputs) -> nn.Module:
        """`model` as `_write` takes it: of tensors alone, and with one tensor as its answer."""
        return single_output(model, example) if isinstance(example, Tensor) else token_logits(model, example)

    @abstractmethod
    def _write(self, model: nn.Module, path: Path, example: Any, precision: str, calibration: Sequence[Tensor]) -> None:
        """Write `model`, a copy at rest that may be changed and that returns one tensor, to `path`; `example` is `[2, …]`: two
        items, so that tracing (`limbeck.export.trace.trace`) does not take the batch axis for a constant. Where `texts` is
        set, it may be a mapping of tokens, and the model takes its tensors one after the other."""

    @abstractmethod
    def open(self, path: Path) -> Runner:
        """Open a file, for one thread.

        Raises:
            FileNotFoundError: there is no such file.
            ExportError: it is damaged, of another kind, or needs an operator that the runtime lacks.
            MissingPackageError: a package is missing.
        """

    def require_packages(self, *, writing: bool = False) -> None:
        """Import `packages`, so that what opening a file costs afterwards is the file's own; `writing`: the `writers` too.

        Raises:
            MissingPackageError: one is missing; the message says how to install it.
        """
        for package in (*self.packages, *(self.writers if writing else ())):
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise MissingPackageError(
                    f"format {self.name!r} needs {package.partition('.')[0]}: {INSTALL_COMMAND}"
                ) from error

    def opset_of(self, runner: Runner) -> int | None:
        """The opset of a file of this format."""
        return self.opset

    def require_texts(self) -> None:
        """Refuse models of texts where they cannot be written.

        Raises:
            ExportError: they cannot; the message names a format that can.
        """
        if not self.texts:
            supported = " or ".join(repr(name) for name in formats if getattr(formats[name], "texts", False))
            raise ExportError(
                f"format {self.name!r} takes images and other tensors, but no models of texts", f"Use {supported}"
            )

    def libraries(self, path: Path) -> tuple[str, ...]:
        """The modules that opening this file imports; `packages` unless they depend on what is in it."""
        return self.packages


def frozen_copy(model: nn.Module) -> nn.Module:
    """A copy to export: float32 on the CPU, in evaluation mode, contiguous, without gradients; the model is not touched."""
    frozen = copy.deepcopy(model).to("cpu", torch.float32).eval()
    for tensor in (*frozen.parameters(), *frozen.buffers()):
        tensor.requires_grad_(False)
        tensor.data = tensor.data.contiguous()  # models may come in channels-last memory
    return frozen


def first_two(example: Any) -> Any:
    """Two items of a batch, the same twice where there is only one; of texts their first tokens."""
    if isinstance(example, Mapping) and IDS in example:
        return first_tokens(example)
    if not isinstance(example, Tensor):
        raise ExportError(
            f"the model reads {type(example).__name__}, and a file has one tensor as its input",
            "Export a wrapper whose forward takes one tensor and builds the rest from it",
        )
    return torch.cat((example[:1], example[-1:])).cpu()


def check_calibration(batches: Sequence[Tensor]) -> None:
    """Refuse items that cannot show the range of an activation."""
    first = next((batch[0] for batch in batches if len(batch)), None)
    if first is None or not any(bool((batch != first).any()) for batch in batches):
        raise ValueError(
            f"calibration: {sum(len(batch) for batch in batches)} item(s), at least two distinct ones are needed to see the "
            "ranges of activations; give a few hundred training items (export.calibration_items: 512)"
        )


def require_file(path: Path) -> Path:
    """`path`, or the error that there is no such file."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    return path
