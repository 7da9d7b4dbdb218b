"""int8 without calibration, for models of texts: ONNX Runtime's dynamic quantization.

Weights and tables of embeddings have eight bits in the file: weights of matrix products symmetric with a scale for each output
channel, a table of embeddings with one scale and a zero point. What goes into a product is measured as it comes, for the whole
batch, and quantized to eight unsigned bits, and the product is computed in whole numbers. Attention, normalisation and
activations stay in float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.utils.log_silencing import suppress_logs

if TYPE_CHECKING:
    from onnx import ModelProto

QUANTIZED = ("MatMul", "Gemm", "Gather")


def quantize_dynamic_weights(content: ModelProto, path: Path) -> ModelProto:
    """`content` in int8; drafts are written beside `path`."""
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
            extra_options={"MatMulConstBOnly": True},  # products of two activations, as in attention, gain nothing
        )
    return onnx.load(quantized)
