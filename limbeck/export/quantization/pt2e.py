"""int8 by torch.export and torchao: a graph with fake quantization, as XNNPACK computes, and the quantized graph it becomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from limbeck.utils.log_silencing import suppress_logs

CALIBRATION_BATCH = 64  # items; more only cost memory


def quantize_graph(graph: GraphModule, calibration: Sequence[Tensor]) -> GraphModule:
    """`graph` in int8: weights symmetric for each output channel, activations with a zero point, their ranges chosen so that
    what was seen in `calibration` suffers least. Operators that XNNPACK has no int8 kernel for stay in float32.

    Args:
        graph: of a model at rest, for any number of items, as `torch.export` made it; it is used up.
        calibration: batches of real training inputs.
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
    """What XNNPACK quantizes, and how; `aware`: for training, where weights are quantized between their present extremes, as
    `quantized` will do it, and the ranges of activations follow them slowly."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer, get_symmetric_quantization_config

    config = get_symmetric_quantization_config(is_per_channel=True, is_qat=qat)
    if qat:
        config = _current_weight_ranges(config)
    result = XNNPACKQuantizer()
    # Those with BatchNorm are sought by tracing examples of them, for seconds, and here it is always folded already.
    result.SUPPORTED_PATTERNS = [each for each in result.SUPPORTED_PATTERNS if not each.is_qat]
    return result.set_global(config)


def _current_weight_ranges(config: Any) -> Any:
    """By default the range of a weight is a moving average too, which lags behind the weight that is trained."""
    import dataclasses

    from torchao.quantization.pt2e.fake_quantize import FusedMovingAvgObsFakeQuantize
    from torchao.quantization.pt2e.observer import MovingAveragePerChannelMinMaxObserver

    observed = FusedMovingAvgObsFakeQuantize.with_args(
        observer=MovingAveragePerChannelMinMaxObserver, averaging_constant=1.0, eps=2**-12
    )
    return dataclasses.replace(config, weight=dataclasses.replace(config.weight, observer_or_fake_quant_ctr=observed))
