"""ExecuTorch files (.pte), run by the ExecuTorch runtime with XNNPACK, as on a phone; int8 by PT2E."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.export.base import Format, Runner, formats, require_file
from limbeck.export.errors import ExportError
from limbeck.export.executorch.xnnpack_lowering import capture_graph, lower_for_xnnpack
from limbeck.export.file_info import beside
from limbeck.export.quantization.pt2e import quantize_graph
from limbeck.export.trace import failing_line, trace
from limbeck.export.value_range import RangeChecked, ValueRange, other_range, range_of
from limbeck.utils.json_files import read_json
from limbeck.utils.log_silencing import suppress_logs

if TYPE_CHECKING:
    from torch.export import ExportedProgram

METHOD = "forward"
ALIGNMENT = 16  # bytes that XNNPACK requires; the default of 128 pads small files
DTYPES = {0: torch.uint8, 1: torch.int8, 2: torch.int16, 3: torch.int32, 4: torch.int64, 5: torch.float16, 6: torch.float32}
HEADER = struct.Struct("<4s4s4sIQQQ")  # root, identifier; extended header: mark, length, program, start and size of segments
OPERATORS = (
    r"Missing out variants: \{([^}]*)\}",
    r"[Oo]perator (\S+) is not",
    r"[Mm]issing operator: \[\d+\] ([\w:.]+)",
    r"([\w:.]+) is not Aten Canonical",
)


@formats.register("executorch")
class ExecuTorch(Format):
    """ExecuTorch with a batch size of one, as a device uses it, since memory is planned ahead of time. The network runs in
    XNNPACK; operators that XNNPACK does not support run in the portable kernels of ExecuTorch.

    int8: symmetric weights per output channel, signed 8-bit activations with a zero point.
    """

    name = "executorch"
    suffix = ".pte"
    packages: ClassVar[tuple[str, ...]] = ("executorch.runtime",)
    writers: ClassVar[tuple[str, ...]] = (
        "executorch.exir",
        "executorch.backends.xnnpack.partition.xnnpack_partitioner",
        "torchao.quantization.pt2e.quantize_pt2e",
    )

    def require_packages(self, *, writing: bool = False) -> None:
        with suppress_logs(), captured_stderr():  # some modules print on import
            super().require_packages(writing=writing)

    def _write(
        self,
        model: nn.Module,
        path: Path,
        example: Tensor,
        precision: str,
        calibration: Sequence[Tensor],
        allowed: ValueRange | None = None,
    ) -> None:
        example = _default_layout(example)
        example_item = example[:1]
        if precision == "int8":
            rewritten = lower_for_xnnpack(capture_graph(model, example, any_batch=True))
            prepared: nn.Module = quantize_graph(capture_graph(rewritten, example, any_batch=True), calibration)
        else:
            prepared = lower_for_xnnpack(capture_graph(model, example_item, any_batch=False))
        checked = prepared if allowed is None else RangeChecked(prepared, allowed)
        path.write_bytes(_lower(trace(checked, example_item, any_batch=False)))

    def open(self, path: Path) -> Runner:
        self.require_packages()
        _check_header(require_file(path))
        method = _load_method(path)
        shape, dtype = _input_spec(method, path)

        def run(inputs: Tensor) -> Tensor:
            prepared = _default_layout(inputs.detach().cpu().to(dtype))
            try:
                return torch.cat([method.execute([item])[0] for item in torch.split(prepared, 1)])
            except RuntimeError as error:
                raise _run_error(path, inputs, error) from error

        return Runner(run, shape, dtype)


def _default_layout(inputs: Tensor) -> Tensor:
    """Returns a copy in default memory layout. `contiguous()` does not suffice: one-channel images in channels-last memory
    count as contiguous, but the runtime reads the strides."""
    return inputs.clone(memory_format=torch.contiguous_format)


def _lower(program: ExportedProgram) -> bytes:
    """Lowers the graph to XNNPACK and portable operators, and returns the content of the file."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    try:
        with suppress_logs():
            edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
            lowered = edge.to_executorch(ExecutorchBackendConfig(segment_alignment=ALIGNMENT))
    except Exception as error:
        raise _lowering_error(error) from error
    _check_operators(lowered.executorch_program)
    content: bytes = lowered.buffer
    return content


def _check_operators(program: Any) -> None:
    """Checks that the runtime has a kernel for each operator, before a file is written that would not open."""
    from executorch.runtime import Runtime

    known = Runtime.get().operator_registry.operator_names
    needed = {f"{each.name}.{each.overload}".rstrip(".") for plan in program.execution_plan for each in plan.operators}
    if needed - known:
        raise _missing_kernel(", ".join(sorted(needed - known)))


def _check_header(path: Path) -> None:
    """Checks that the file is a complete program: the runtime trusts the sizes in its header."""
    with path.open("rb") as file:
        head = file.read(HEADER.size)
    size = path.stat().st_size
    if len(head) < HEADER.size or head[4:6] != b"ET":
        raise ExportError(f"{path} is not an ExecuTorch file", "Write one with limbeck export --format executorch")
    _, _, mark, length, program, start, segments = HEADER.unpack(head)
    if mark != b"eh00":
        raise ExportError(f"{path} is an ExecuTorch file with an unknown header", "Write it again with limbeck export")
    expected_size = max(program, start + segments if length >= 32 else 0)
    if size < expected_size:
        raise ExportError(f"{path} is truncated: {size:,} of {expected_size:,} bytes", "Copy or write it again")


def _load_method(path: Path) -> Any:
    """Loads the `forward` method in the runtime, on one thread."""
    from executorch.extension.pybindings import portable_lib
    from executorch.runtime import Runtime

    with suppress_logs(), captured_stderr() as printed:
        if portable_lib._threadpool_get_thread_count() != 1:  # global; must not change while a method runs
            portable_lib._unsafe_reset_threadpool(1)
        try:
            program = Runtime.get().load_program(path)
            method = program.load_method(METHOD) if METHOD in program.method_names else None
        except RuntimeError as error:
            failure: RuntimeError | None = error
        else:
            failure = None
    if failure is not None:
        raise _load_error(path, failure, printed) from failure
    if method is None:
        raise ExportError(f"{path} has no method {METHOD!r}", "Export the model's forward")
    return method


def _input_spec(method: Any, path: Path) -> tuple[tuple[int, ...], torch.dtype]:
    """Shape and dtype of one input item of a method."""
    metadata = method.metadata
    if metadata.num_inputs() != 1 or metadata.num_outputs() != 1:
        raise ExportError(
            f"{path} has {metadata.num_inputs()} inputs and {metadata.num_outputs()} outputs; expected one of each"
        )
    tensor = metadata.input_tensor_meta(0)
    batch, *shape = tensor.sizes()
    if batch != 1 or tensor.dtype() not in DTYPES:
        raise ExportError(
            f"{path} has batch size {batch} and scalar type {tensor.dtype()}; expected one item of a known number type",
            "Export it with batch size 1",
        )
    return tuple(shape), DTYPES[tensor.dtype()]


def _run_error(path: Path, inputs: Tensor, error: Exception) -> ExportError:
    """The runtime does not name the operator that failed; what lies beside the file says which values it refuses."""
    try:
        info = read_json(beside(path))
        allowed = range_of(info if isinstance(info, dict) else None)
    except (OSError, ValueError, TypeError):
        allowed = None
    if allowed is not None and tuple(inputs.shape[1:]) == (info["channels"], *info["size"]):
        if bool((inputs > allowed.most).any()):
            return other_range(path, high=True)
        if bool((inputs < allowed.least).any()):
            return other_range(path, high=False)
    return ExportError(f"{path} cannot compute on inputs {list(inputs.shape)}: {error}")


def _lowering_error(error: Exception) -> ExportError:
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    operator = next((name for cause in causes if (name := _operator_name(str(cause)))), None)
    if operator is not None:
        return _missing_kernel(operator)
    reason = next(iter(str(causes[-1]).strip().splitlines()), type(causes[-1]).__name__)
    return ExportError(f"the graph cannot be lowered to ExecuTorch: {reason}", where=failing_line(causes[-1]))


def _load_error(path: Path, error: Exception, printed: Sequence[str]) -> ExportError:
    operator = _operator_name(" ".join(printed))
    if operator is not None:
        return ExportError(f"{path} needs the operator {operator}, which this runtime lacks", "Upgrade executorch")
    return ExportError(
        f"{path} is damaged, or of another version of ExecuTorch ({error})", "Write it again with limbeck export"
    )


def _missing_kernel(operator: str) -> ExportError:
    return ExportError(
        f"ExecuTorch has no kernel for {operator}", "Replace the layer that needs it by an equivalent of other operators"
    )


def _operator_name(text: str) -> str | None:
    matches = (re.search(pattern, text) for pattern in OPERATORS)
    operator = next((match[1] for match in matches if match), None)
    return None if operator is None else re.sub(r"torch\._ops\.|\.default\b|'", "", operator)


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Captures stdout and stderr of native code; its lines are in the list afterwards."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        _flush()
        duplicates = {stream: os.dup(stream) for stream in (1, 2)}
        for stream in duplicates:
            os.dup2(file.fileno(), stream)
        try:
            yield lines
        finally:
            _flush()
            for stream, before in duplicates.items():
                os.dup2(before, stream)
                os.close(before)
            file.seek(0)
            lines.extend(file.read().decode(errors="replace").splitlines())


def _flush() -> None:
    """Flushes the buffers of Python and, if possible, of the C library."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
