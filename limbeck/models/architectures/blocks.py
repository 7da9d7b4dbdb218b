"""Building blocks of mobile networks: convolution with normalisation, squeeze-and-excitation, inverted residual.

No model uses in-place operations, which could overwrite a tensor that a tap recorded.
"""

from __future__ import annotations

from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution without bias, BatchNorm, activation: [B, inputs, H, W] → [B, outputs, ⌈H/stride⌉, ⌈W/stride⌉].

    Args:
        kernel: odd kernel size; the padding keeps the size at stride 1.
        groups: `inputs` for a depthwise convolution.
        activation: class of the activation, None for a linear layer.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU,
    ) -> None:
        convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        layers: list[nn.Module] = [convolution, nn.BatchNorm2d(outputs)]
        super().__init__(*layers, *([activation()] if activation else []))


class SqueezeExcite(nn.Module):
    """Channel attention: x · hard-sigmoid(fc2(ReLU(fc1(mean over space)))), shapes [B, C, H, W] → the same.

    Source: Hu et al. 2018 (arXiv:1709.01507), with the hard sigmoid of MobileNetV3 (arXiv:1905.02244).
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.ReLU()
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Hardsigmoid()

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x)))))
        return x * scale


class InvertedResidual(nn.Module):
    """1×1 expansion, depthwise convolution, 1×1 projection: [B, inputs, H, W] → [B, outputs, ⌈H/stride⌉, ⌈W/stride⌉].

    The input is added if the shapes agree. There is no expansion if `expanded == inputs`.

    Args:
        expanded: channels inside the block.
        squeeze: whether squeeze-and-excitation to a quarter of the channels follows the depthwise convolution.
        activation: class of the activation inside; the block's output is linear.

    Source: Sandler et al. 2018 (arXiv:1801.04381); Howard et al. 2019 (arXiv:1905.02244).
    """

    def __init__(
        self,
        inputs: int,
        expanded: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        squeeze: bool = False,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(ConvNormAct(inputs, expanded, 1, activation=activation))
        layers.append(ConvNormAct(expanded, expanded, kernel, stride, groups=expanded, activation=activation))
        if squeeze:
            layers.append(SqueezeExcite(expanded, divisible(expanded / 4)))
        layers.append(ConvNormAct(expanded, outputs, 1, activation=None))
        self.block = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.block(x)
        return out + x if self.residual else out


def divisible(value: float, by: int = 8) -> int:
    """Rounds `value` to a multiple of `by`, never down by more than 10 % (the channel rule of the MobileNets)."""
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded if rounded >= 0.9 * value else rounded + by
