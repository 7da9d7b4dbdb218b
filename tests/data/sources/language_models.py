"""Causal language models with random weights, small enough for tests."""

from __future__ import annotations

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

SIZE = {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2}


def llama(seed: int = 0, **options) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = {"num_key_value_heads": 2, "max_position_embeddings": 64, "pad_token_id": 0, **SIZE, **shape, **options}
    return LlamaForCausalLM(LlamaConfig(**config)).eval()


def gpt2(seed: int = 0, **options) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **{**SIZE, **options})).eval()
