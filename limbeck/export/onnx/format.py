"""ONNX files, run by ONNX Runtime; int8 by ONNX Runtime, static for images and dynamic for texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from limbeck.export.base import Format, Runner, formats, require_file
from limbeck.export.check import Inputs
from limbeck.export.errors import ExportError
from limbeck.export.onnx.attention import simplify_attention
from limbeck.export.onnx.fuse_slices import fuse_slices
from limbeck.export.onnx.metadata import TOO_HIGH, TOO_LOW, add_metadata, refuse_other_range
from limbeck.export.onnx.rotary import expand_rotary_caches
from limbeck.export.onnx.strip_metadata import strip_metadata
from limbeck.export.quantization.dynamic import quantize_dynamic_weights
from limbeck.export.text_models import IDS
from limbeck.export.trace import BATCH, TOKENS, failing_line, trace
from limbeck.export.value_range import ValueRange, other_range
from limbeck.utils.log_silencing import suppress_logs

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 18  # opset of the exporter, so that nothing is converted; ONNX Runtime reads it since 1.14
TEXT_OPSET = 23  # the first with an attention operator, which saves 10 to 20 % of latency; ONNX Runtime reads it since 1.23
INPUT, OUTPUT = "inputs", "logits"
TYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(uint8)": torch.uint8,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
}
LARGEST = 2**31 - 1  # bytes of a protobuf message
OPERATORS = (
    r"No ONNX function found for <OpOverload\(op='([\w.:]+)'",  # a torch operator that the exporter does not support
    r"(?:implementation|kernel) for ([\w.:]+)\(",  # an ONNX operator without a kernel in the runtime
    r"Fatal error: ([\w.:]+)\(-?\d+\) is not a registered",  # an operator that the runtime does not know
    r"No Op registered for ([\w.:]+)",
)


@formats.register("onnx")
class Onnx(Format):
    """ONNX with a dynamic batch size, opset 18. Images are in [0, 1]; BatchNorm is folded.

    int8: symmetric weights per output channel, unsigned 8-bit activations with a zero point, ranges from the minimum to the
    maximum in calibration, stored as Q/DQ pairs.

    Text models: tokens `[N, T]` under the argument names of the model, with dynamic batch size and length, opset 23; int8 as in
    `limbeck.export.quantization.dynamic`.
    """

    name = "onnx"
    suffix = ".onnx"
    packages = ("onnxruntime",)
    writers = ("onnx", "onnxscript")
    opset: ClassVar[int | None] = OPSET
    texts: ClassVar[bool] = True

    def _write(
        self,
        model: nn.Module,
        path: Path,
        example: Any,
        precision: str,
        calibration: Sequence[Tensor],
        allowed: ValueRange | None = None,
    ) -> None:
        import onnx

        of_texts = isinstance(example, Mapping)
        content = _convert(model, example)
        content = strip_metadata(fuse_slices(simplify_attention(expand_rotary_caches(content)) if of_texts else content))
        if precision == "int8":
            content = strip_metadata(
                quantize_dynamic_weights(content, path) if of_texts else _quantize_static(content, calibration, path)
            )
        if allowed is not None and not of_texts:
            refuse_other_range(content, allowed)
        if content.ByteSize() > LARGEST:
            raise ExportError(f"the model is {content.ByteSize():,} bytes, and an ONNX file holds at most {LARGEST:,}")
        try:
            onnx.checker.check_model(content, full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ExportError(f"the exporter wrote an invalid graph (onnx.checker): {error}") from error
        path.write_bytes(content.SerializeToString())

    def describe(self, path: Path, info: Mapping[str, Any]) -> None:
        import onnx

        content = onnx.load(path)
        add_metadata(content, info)
        path.write_bytes(content.SerializeToString())

    def opset_of(self, runner: Runner) -> int | None:
        return TEXT_OPSET if runner.names else OPSET

    def open(self, path: Path) -> Runner:
        self.require_packages()
        session = _open_session(require_file(path))
        read, given = session.get_inputs(), session.get_outputs()
        if len(given) == 1 and _reads_tokens(read):
            return _text_runner(session, path, tuple(each.name for each in read))
        if len(read) != 1 or len(given) != 1:
            raise ExportError(f"{path} has {len(read)} inputs and {len(given)} outputs; expected one of each")
        batch, *shape = read[0].shape
        open_axes = [axis for axis in shape if not isinstance(axis, int)]
        if open_axes or read[0].type not in TYPES:
            raise ExportError(
                f"{path} takes {read[0].type} {read[0].shape}; expected numbers, with only the first axis dynamic"
            )
        name, dtype = read[0].name, TYPES[read[0].type]
        fixed_batch = batch if isinstance(batch, int) else None

        def run(inputs: Tensor) -> Tensor:
            pieces = torch.split(inputs, fixed_batch) if fixed_batch else (inputs,)
            found = [_outputs(session, path, {name: piece.detach().cpu().to(dtype).numpy()}) for piece in pieces]
            return torch.from_numpy(found[0]) if len(found) == 1 else torch.cat([torch.from_numpy(each) for each in found])

        return Runner(run, tuple(shape), dtype)


def _reads_tokens(read: Sequence[Any]) -> bool:
    """Whether the inputs of a file are tokens, with dynamic batch size and length."""
    whole = all(each.type == "tensor(int64)" and len(each.shape) == 2 and not isinstance(each.shape[1], int) for each in read)
    return whole and IDS in [each.name for each in read]


def _outputs(session: Any, path: Path, inputs: Mapping[str, Any]) -> Any:
    try:
        return session.run(None, inputs)[0]
    except Exception as error:  # its errors share no base class but this
        if TOO_HIGH in str(error) or TOO_LOW in str(error):
            raise other_range(path, high=TOO_HIGH in str(error)) from error
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        raise ExportError(f"{path} cannot compute on inputs {shapes}: {' '.join(str(error).split())}") from error


def _text_runner(session: Any, path: Path, names: tuple[str, ...]) -> Runner:
    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        missing = [name for name in names if name not in inputs]
        if missing:
            raise ExportError(f"the file takes {', '.join(names)}; missing: {', '.join(missing)}")
        return torch.from_numpy(_outputs(session, path, {name: inputs[name].detach().cpu().long().numpy() for name in names}))

    return Runner(run, (), torch.int64, names)


def _convert(model: nn.Module, example: Inputs) -> ModelProto:
    of_texts = isinstance(example, Mapping)
    program = trace(model, list(example.values()) if isinstance(example, Mapping) else example, any_batch=True)
    try:
        with suppress_logs():
            exported = torch.onnx.export(
                program,
                (),
                dynamo=True,
                opset_version=TEXT_OPSET if of_texts else OPSET,
                input_names=list(example) if isinstance(example, Mapping) else [INPUT],
                output_names=[OUTPUT],
                optimize=True,
                verbose=False,
            )
    except Exception as error:
        raise _conversion_error(error) from error
    assert exported is not None
    content: ModelProto = exported.model_proto
    _name_axes(content, (BATCH, TOKENS) if of_texts else (BATCH,))
    return content


def _name_axes(content: ModelProto, names: Sequence[str]) -> None:
    """Names the first axes of the inputs, and the same axes of the outputs. Removes unused inputs, such as token types of a
    model that ignores them."""
    graph = content.graph
    read = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.input if each.name in read]
    axes = {axis.dim_param: name for each in kept for axis, name in zip(_axes(each), names, strict=False)}
    del graph.input[:]
    graph.input.extend(kept)
    for each in (*graph.input, *graph.output):
        for axis in _axes(each):
            if axis.dim_param in axes:
                axis.dim_param = axes[axis.dim_param]


def _axes(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def _quantize_static(content: ModelProto, calibration: Sequence[Tensor], path: Path) -> ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    plain, quantized = path.with_name("plain.onnx"), path.with_name("quantized.onnx")
    plain.write_bytes(content.SerializeToString())
    with suppress_logs():
        quantize_static(
            plain,
            quantized,
            _CalibrationReader(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,  # as exact as QInt8 with VNNI and on ARM, and twice as fast on x86
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    return onnx.load(quantized)


class _CalibrationReader:
    """Yields calibration batches to ONNX Runtime."""

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self.remaining: Iterator[Tensor] = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        batch = next(self.remaining, None)
        return None if batch is None else {INPUT: batch.cpu().numpy()}


def _open_session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, not logged
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no other common base class
        raise _load_error(path, error) from error


def _load_error(path: Path, error: Exception) -> ExportError:
    operator, reason = _operator_name(error), " ".join(str(error).split())
    if operator is not None:
        return ExportError(
            f"{path} needs the operator {operator}, which this ONNX Runtime lacks",
            "Upgrade onnxruntime, or replace the layer that needs it",
        )
    if any(sign in reason for sign in ("PROTOBUF", "No graph", "ModelProto")):
        return ExportError(f"{path} is truncated, or not an ONNX file", "Write it again with limbeck export")
    return ExportError(f"{path} does not open in ONNX Runtime: {reason}")


def _conversion_error(error: Exception) -> ExportError:
    causes = [error]
    while causes[-1].__cause__ is not None and isinstance(causes[-1].__cause__, Exception):
        causes.append(causes[-1].__cause__)
    found = next((name for cause in causes if (name := _operator_name(cause))), None)
    if found is not None:
        return ExportError(f"ONNX has no operator for torch's {found}", "Replace it by equivalent operators")
    reason = next(iter(str(causes[-1]).strip().splitlines()), type(causes[-1]).__name__)
    return ExportError(f"the graph cannot be converted to ONNX: {reason}", where=failing_line(causes[-1]))


def _operator_name(error: Exception) -> str | None:
    matches = (re.search(pattern, str(error)) for pattern in OPERATORS)
    return next((match[1] for match in matches if match), None)
