from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from limbeck.export.executorch.xnnpack_lowering import capture_graph, lower_for_xnnpack

aten = torch.ops.aten


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def rewritten(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[nn.Module, set[object]]:
    graph = lower_for_xnnpack(capture_graph(Applied(function), x, any_batch=False))
    return graph, {node.target for node in graph.graph.nodes if node.op == "call_function"}


@settings(deadline=None, max_examples=12)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    channels=st.integers(1, 5),
)
def test_strided_slices_are_a_convolution_with_the_same_result(
    rows: int, columns: int, height: int, width: int, channels: int
) -> None:
    x = torch.randn(2, channels, height, width)
    graph, used = rewritten(lambda x: x[:, :, ::rows, ::columns] + 0, x)
    assert aten.slice.Tensor not in used
    assert torch.equal(graph(x), x[:, :, ::rows, ::columns])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[:, :, 1:, :],
        lambda x: x[:, :, ::2, :3],
        lambda x: x[:, ::2],
        lambda x: x[:1],
        lambda x: x[:, :, ::2].long(),
        lambda x: (x[:, :, ::2], x[:, :, ::2, ::2])[1] + x[:, :, ::2, :1],
        lambda x: x.mean(1),
        lambda x: x.mean((2, 3), keepdim=True),
        lambda x: x.mean((2, 3), dtype=torch.float64),
        lambda x: x.mean((-2, -1)),
        lambda x: x.mean((3, 2)),
        lambda x: F.hardsigmoid(4 * x),
        lambda x: F.scaled_dot_product_attention(x, x.flip(2), x * 2),
        lambda x: F.scaled_dot_product_attention(x, x, x, scale=0.1),
        lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    ],
)
def test_whatever_is_rewritten_or_not_gives_the_same(function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 4, 6, 6)
    graph, _ = rewritten(function, x)
    torch.testing.assert_close(graph(x), function(x), atol=1e-6, rtol=1e-6)


def test_what_xnnpack_would_not_take_over_is_gone() -> None:
    x = torch.randn(1, 2, 4, 4)
    _, used = rewritten(lambda x: F.hardsigmoid(x).mean((2, 3)), x)
    assert aten.hardsigmoid.default not in used
    graph, _ = rewritten(lambda x: x.mean((2, 3)), x)
    assert [node.args[2] for node in graph.graph.nodes if node.target is aten.mean.dim] == [True]
