"""int8 of text models without calibration: dynamic quantization by ONNX Runtime.

Weights of matrix products are stored in 8 bits, symmetric with a scale per output channel; embedding tables in 8 bits with
one scale and a zero point. The inputs of a product are quantized at run time to unsigned 8 bits, with one range for the whole
batch, and the product is computed in integers. Attention, normalisation and activation functions stay in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.utils.log_silencing import suppress_logs

if TYPE_CHECKING:
    from onnx import ModelProto

QUANTIZED = ("MatMul", "Gemm", "Gather")


def quantize_dynamic_weights(content: ModelProto, path: Path) -> ModelProto:
    """Returns `content` in int8; temporary files are written beside `path`."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, quantized = path.with_name("plain.onnx"), path.with_name("quantized.onnx")
    plain.write_bytes(content.SerializeToString())
    with suppress_logs():
        quantize_dynamic(
            plain,
            quantized,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},  # products of two activations, as in attention, do not get faster
        )
    return onnx.load(quantized)
