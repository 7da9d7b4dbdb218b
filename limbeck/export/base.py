"""Base class of export formats: writes a model to a file, and opens the file in its runtime.

    from limbeck.export import formats

    onnx = formats.get("onnx")
    onnx.write(student, Path("student-int8.onnx"), images[:2], precision="int8", calibration=[images])
    logits = onnx.open(Path("student-int8.onnx"))(images)

A new format is a subclass of `Format`, registered by `@formats.register(name)`.
"""

from __future__ import annotations

import copy
import importlib
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.export.check import Inputs, check_batches, check_file, reference_outputs
from limbeck.export.errors import ExportError
from limbeck.export.file_info import beside, write_beside
from limbeck.export.text_models import IDS, MASK, first_tokens, token_logits
from limbeck.export.trace import single_output
from limbeck.export.value_range import ValueRange, range_of
from limbeck.models import MissingPackageError
from limbeck.utils.atomic_files import DRAFT, flush, remove_drafts
from limbeck.utils.registry import Registry

formats = Registry("format")
INSTALL_COMMAND = "pip install 'limbeck[export]'"


@dataclass(frozen=True)
class Runner:
    """An exported file, loaded in its runtime on one thread: `runner(inputs)` maps `[N, *shape]` to outputs `[N, …]`.

    Attributes:
        run: the forward pass, for any N; it loops over the items if the file has a fixed batch size.
        shape: of one item, without the batch axis; empty if any shape is accepted, as by text models.
        dtype: of the inputs.
        names: input names of a text model, which takes a mapping of them, `[N, T]` each, for any T; else empty.
    """

    run: Callable[[Any], Tensor]
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    names: tuple[str, ...] = ()

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.run(inputs)

    def like(self, noise: Tensor) -> Inputs:
        """Returns example inputs of the shape of `noise`, numbers in [0, 1]: for a text model zeros, with a mask of ones."""
        if not self.names:
            return noise.to(self.dtype)
        empty = torch.zeros(noise.shape, dtype=self.dtype)
        return {name: torch.ones_like(empty) if name == MASK else empty for name in self.names}


class Format(ABC):
    """A file format and the runtime that reads it.

    Attributes:
        name: in recipes and on the command line.
        suffix: file suffix, with the dot.
        precisions: those of "fp32" and "int8" that it supports.
        packages: modules imported to open a file; if one is missing, the error says how to install it.
        writers: further modules imported to write a file.
        opset: version of the operators in its files, if the format has one.
        texts: whether text models are supported.
        is_checked: whether a written file is run and compared with the model before it takes its place.
    """

    name: ClassVar[str]
    suffix: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    packages: ClassVar[tuple[str, ...]] = ()
    writers: ClassVar[tuple[str, ...]] = ()
    opset: ClassVar[int | None] = None
    texts: ClassVar[bool] = False
    is_checked: ClassVar[bool] = True

    def write(
        self,
        model: nn.Module,
        path: Path,
        example: Inputs,
        *,
        precision: str = "fp32",
        calibration: Sequence[Tensor] = (),
        fp32_checked: bool = False,
        info: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes `model` to `path` atomically. It exports a copy on the CPU in evaluation mode; the model is not changed.

        The file is run in its runtime before it takes its place: on one item of `example` and on several, texts at two lengths.
        A float32 file must compute what the model computes; an int8 file is written only if the float32 file of the same
        model does, and must run.

        Args:
            example: real inputs `[N, …]` of the model, N ≥ 1; for a text model a mapping with `input_ids`, as a tokenizer
                returns.
            precision: one of `precisions`.
            calibration: batches of training inputs, from which int8 takes the ranges of activations. Text models need none,
                since they are quantized dynamically.
            fp32_checked: the float32 file of the same model has been written and checked before, so that int8 need not.
            info: what the file says of itself, see `limbeck.export.file_info`.

        Raises:
            ExportError: the model cannot be exported; it has the reason, the remedy and, if known, the line of code.
            ValueError: a precision that the format does not support; fewer than two distinct calibration items.
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
        items = first_two(example)
        prepared = self._prepared(frozen_copy(model), items)
        batches, references = check_batches(example) if self.is_checked else [], list[Tensor]()
        remove_drafts(path)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.", suffix=DRAFT) as folder:
            temporary = Path(folder) / path.name
            for each in (precision,) if fp32_checked or not self.is_checked else dict.fromkeys(("fp32", precision)):
                self._write(copy.deepcopy(prepared), temporary, items, each, calibration, range_of(info))
                if info is not None:
                    self.describe(temporary, info)
                if self.is_checked:
                    references = references or reference_outputs(prepared, batches)
                    with no_other(precision, each):
                        check_file(self.open(temporary), batches, references, exact=each == "fp32")
            move_file(temporary, path)

    def _prepared(self, model: nn.Module, example: Inputs) -> nn.Module:
        """Wraps `model` for `_write`: tensors in, one tensor out."""
        return single_output(model, example) if isinstance(example, Tensor) else token_logits(model, example)

    @abstractmethod
    def _write(
        self,
        model: nn.Module,
        path: Path,
        example: Any,
        precision: str,
        calibration: Sequence[Tensor],
        allowed: ValueRange | None = None,
    ) -> None:
        """Writes `model` to `path`: a copy in evaluation mode that may be modified and that returns one tensor.

        `example` is `[2, …]`: two items, so that tracing (`limbeck.export.trace.trace`) does not specialise the batch axis.
        If `texts` is set it may be a mapping of tokens, and the model takes its tensors as positional arguments. With `allowed`
        the file fails on other values, if the format can do so.
        """

    def describe(self, path: Path, info: Mapping[str, Any]) -> None:
        """Writes what a file says of itself: into it, if the format has metadata, else as JSON beside it."""
        write_beside(path, info)

    @abstractmethod
    def open(self, path: Path) -> Runner:
        """Opens a file in its runtime, on one thread.

        Raises:
            FileNotFoundError: the file does not exist.
            ExportError: the file is damaged, of another format, or needs an operator that the runtime lacks.
            MissingPackageError: a package is missing.
        """

    def require_packages(self, *, writing: bool = False) -> None:
        """Imports `packages`, and `writers` too if `writing`; the cost of opening a file is then the cost of the file alone.

        Raises:
            MissingPackageError: a package is missing; the message says how to install it.
        """
        for package in (*self.packages, *(self.writers if writing else ())):
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise MissingPackageError(
                    f"format {self.name!r} needs {package.partition('.')[0]}: {INSTALL_COMMAND}"
                ) from error

    def opset_of(self, runner: Runner) -> int | None:
        """Returns the opset of an opened file."""
        return self.opset

    def require_texts(self) -> None:
        """Checks that the format supports text models.

        Raises:
            ExportError: it does not; the message names formats that do.
        """
        if not self.texts:
            supported = " or ".join(repr(name) for name in formats if getattr(formats[name], "texts", False))
            raise ExportError(
                f"format {self.name!r} does not support text models, only models of images and other tensors",
                f"Use {supported}",
            )


def move_file(written: Path, path: Path) -> None:
    """Moves a file, and what is written beside it, to `path`."""
    if beside(written).exists():
        flush(beside(written))
        beside(written).replace(beside(path))
    flush(written)
    written.replace(path)


@contextmanager
def no_other(precision: str, written: str = "fp32") -> Iterator[None]:
    """Adds to an error of the float32 file of a model that there is hence no file in another precision."""
    try:
        yield
    except ExportError as error:
        if precision == written:
            raise
        raise ExportError(f"no {precision}, since the float32 file of the model fails: {error.reason}", error.remedy) from error


def frozen_copy(model: nn.Module) -> nn.Module:
    """Returns a copy to export: float32 on the CPU, in evaluation mode, contiguous, without gradients.

    Raises:
        ExportError: a part of the model is TorchScript, whose code torch.export does not see.
    """
    for path, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ExportError(
                f"{f'its part {path!r}' if path else 'the model'} is TorchScript ({module.original_name}), which no format can "
                "be made from",
                "Build the Python model that it was made from and load the weights of its state_dict() into that",
            )
    frozen = copy.deepcopy(model).to("cpu", torch.float32).eval()
    for tensor in (*frozen.parameters(), *frozen.buffers()):
        tensor.requires_grad_(False)
        tensor.data = tensor.data.contiguous()  # models may come in channels-last memory
    return frozen


def first_two(example: Any) -> Any:
    """Returns two items of a batch, the same one twice if there is only one; for texts their first tokens."""
    if isinstance(example, Mapping) and IDS in example:
        return first_tokens(example)
    if not isinstance(example, Tensor):
        raise ExportError(
            f"the model takes {type(example).__name__}, but an exported file takes one tensor",
            "Export a wrapper whose forward takes one tensor and builds the other inputs from it",
        )
    return torch.cat((example[:1], example[-1:])).cpu()


def check_calibration(batches: Sequence[Tensor]) -> None:
    """Checks that the calibration items can show the ranges of activations."""
    first = next((batch[0] for batch in batches if len(batch)), None)
    if first is None or not any(bool((batch != first).any()) for batch in batches):
        raise ValueError(
            f"calibration: {sum(len(batch) for batch in batches)} item(s), at least two distinct ones are needed to see the "
            "ranges of activations; give a few hundred training items (export.calibration_items: 512)"
        )


def require_file(path: Path) -> Path:
    """Returns `path` if it exists."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    return path
