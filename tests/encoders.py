"""Tiny random encoders, and what Transformers itself says of them."""

from __future__ import annotations

import copy
import functools

import torch
import transformers
from torch import nn

torch.set_num_threads(1)

L = 3
TEXT = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": L, "num_attention_heads": 4, "intermediate_size": 40}
LOCAL = {"local_attention": 8, "global_attn_every_n_layers": 2, "bos_token_id": 1, "eos_token_id": 2}  # ModernBERT
SIZES = {
    "Bert": TEXT,
    "DistilBert": {"vocab_size": 50, "dim": 32, "n_layers": L, "n_heads": 4, "hidden_dim": 40},
    "Roberta": TEXT,
    "Electra": TEXT | {"embedding_size": 16},
    "Albert": TEXT | {"embedding_size": 16},
    "MobileBert": TEXT | {"embedding_size": 16, "intra_bottleneck_size": 16},
    "MPNet": TEXT,
    "ModernBert": TEXT | LOCAL | {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2},
    "MegatronBert": TEXT,
    "RemBert": TEXT | {"input_embedding_size": 16},
    "ConvBert": TEXT | {"embedding_size": 32},
    "BigBird": TEXT | {"attention_type": "original_full"},
    "Tapas": TEXT,
    "Luke": TEXT | {"entity_vocab_size": 10, "entity_emb_size": 16},
    "RoFormer": TEXT | {"embedding_size": 32},
    "ViT": {**TEXT, "image_size": 16, "patch_size": 8},
    "T5Encoder": {"vocab_size": 50, "d_model": 32, "d_kv": 8, "num_layers": L, "num_heads": 4, "d_ff": 40},
    "Llama": TEXT | {"num_key_value_heads": 2},
}
SINGLE = ("ModernBert", "ViT", "Llama")  # their own eager softmax rounds to float32, whatever the model computes in
OF_THEIR_OWN = ("MPNet", "MegatronBert", "RemBert", "ConvBert", "BigBird", "Tapas", "Luke", "RoFormer")
WITH_REGISTRY = [name for name in SIZES if name not in OF_THEIR_OWN]

IDS = torch.randint(5, 50, (3, 7), generator=torch.Generator().manual_seed(0))
MASK = (torch.arange(7) < torch.tensor([[4], [6], [7]])).long()
IMAGES = torch.rand(3, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@functools.cache
def made(name):
    torch.manual_seed(0)
    sizes = dict(SIZES[name])
    config = getattr(transformers, f"{name.removesuffix('Encoder')}Config")(**sizes)
    model = getattr(transformers, f"{name}Model")(config).double().eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.25)  # as initialised, distributions are nearly uniform
    return model


def build(name, implementation="sdpa"):
    model = copy.deepcopy(made(name))
    if name in WITH_REGISTRY:
        model.set_attn_implementation(implementation)
    return model


def inputs(name):
    return {"pixel_values": IMAGES} if name == "ViT" else {"input_ids": IDS, "attention_mask": MASK}


@functools.cache
def reference(name):
    with torch.no_grad():
        return build(name, "eager")(**inputs(name), output_attentions=True, output_hidden_states=True)


def everything(kinds=("scores", "attention", "queries", "keys", "values")):
    return [f"{kind}({n})" for n in range(1, L + 1) for kind in kinds]


def close(found, expected, tolerance=1e-10):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance)
