"""int8 by torch.export and torchao (PT2E), with the quantization scheme of XNNPACK."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from limbeck.utils.log_silencing import suppress_logs

CALIBRATION_BATCH = 64  # items per forward pass; more only cost memory


def quantize_graph(graph: GraphModule, calibration: Sequence[Tensor]) -> GraphModule:
    """Quantizes `graph` to int8: symmetric weights per output channel, activations with a zero point, ranges that minimise the
    error on `calibration`. Operators without an int8 kernel in XNNPACK stay in float32.

    Args:
        graph: from `torch.export`, of a model in evaluation mode, with a dynamic batch size; it is modified.
        calibration: batches of training inputs.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    with suppress_logs(), torch.no_grad():
        observed = prepare_pt2e(graph, quantizer())
        for batch in calibration:
            for piece in torch.split(batch, CALIBRATION_BATCH):
                observed(piece)
        converted: GraphModule = convert_pt2e(observed)
    return converted


def quantizer(*, qat: bool = False) -> Any:
    """Returns the quantizer of XNNPACK. With `qat`, for training: weights use their current minimum and maximum, as
    `quantize_graph` does, and the ranges of activations are moving averages."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    config = get_symmetric_quantization_config(is_per_channel=True, is_qat=qat)
    if qat:
        config = _current_weight_ranges(config)
    result = XNNPACKQuantizer()
    # Patterns with BatchNorm take seconds to trace, and BatchNorm is always folded here.
    result.SUPPORTED_PATTERNS = [each for each in result.SUPPORTED_PATTERNS if not each.is_qat]
    return result.set_global(config)


def _current_weight_ranges(config: Any) -> Any:
    """Replaces the default range of a weight, a moving average, which lags behind the trained weight."""
    import dataclasses

    from torchao.quantization.pt2e.fake_quantize import FusedMovingAvgObsFakeQuantize
    from torchao.quantization.pt2e.observer import MovingAveragePerChannelMinMaxObserver

    observed = FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0, eps=2**-12
    )
    return dataclasses.replace(config, weight=dataclasses.replace(config.weight, observer_or_fake_quant_ctr=observed))
