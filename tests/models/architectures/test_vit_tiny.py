"""Tokens and attention of the vision transformer."""

import torch

from limbeck import models


def test_vit_blocks_give_tokens():
    model, seen = models.vit_tiny(dim=24, depth=4), []
    model.get_submodule("blocks.3").register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    model(torch.rand(2, 3, 32, 32))
    assert seen == [(2, 65, 24)]


def test_vit_attention_equals_a_slow_reference():
    attention = models.vit_tiny(dim=12, depth=1).blocks[0].attn.double()
    x = torch.randn(2, 5, 12, dtype=torch.double)
    query, key, value = attention.qkv(x).chunk(3, dim=-1)
    heads = []
    for h in range(3):
        part = slice(4 * h, 4 * h + 4)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / 4**0.5).softmax(-1)
        heads.append(weights @ value[..., part])
    assert torch.allclose(attention(x), attention.proj(torch.cat(heads, -1)))
