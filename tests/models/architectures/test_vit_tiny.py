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


def test_the_distillation_token_has_a_head_of_its_own_and_both_are_averaged():
    torch.manual_seed(0)
    model, heads = models.vit_tiny(dim=24, depth=2, distilled=True), {}
    for name in ("head", "head_dist"):
        model.get_submodule(name).register_forward_hook(lambda _, args, out, name=name: heads.update({name: (args[0], out)}))
    tokens = []
    model.norm.register_forward_hook(lambda module, inputs, output: tokens.append(output))
    logits = model(torch.rand(2, 3, 32, 32))
    assert tokens[0].shape == (2, 66, 24)
    assert torch.equal(heads["head"][0], tokens[0][:, 0])
    assert torch.equal(heads["head_dist"][0], tokens[0][:, 1])
    torch.testing.assert_close(logits, (heads["head"][1] + heads["head_dist"][1]) / 2)
    heads["head_dist"][1].sum().backward()
    assert model.head.weight.grad is None
    assert model.dist_token.grad.abs().sum() > 0
    assert not any("dist" in key for key in models.vit_tiny(dim=24, depth=2).state_dict())
