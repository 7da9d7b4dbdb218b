"""Rotary encoders as ONNX files: any number of texts at a time."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from limbeck.export import formats
from limbeck.export.onnx.rotary import expand_rotary_caches
from tests.export.test_text_models import WORDS, expected, tokens

transformers = pytest.importorskip("transformers")


def modern_bert() -> nn.Module:
    torch.manual_seed(0)
    config = transformers.ModernBertConfig(
        vocab_size=WORDS, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, local_attention=8, global_attn_every_n_layers=2, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, cls_token_id=1, sep_token_id=2,
    )  # fmt: skip
    made: nn.Module = transformers.ModernBertForSequenceClassification(config)
    return made.eval()


def test_a_rotary_encoder_takes_any_number_of_texts(tmp_path: Path) -> None:
    model, path = modern_bert(), tmp_path / "student.onnx"
    inputs = {name: part for name, part in tokens(2, 12).items() if name != "token_type_ids"}
    formats.get("onnx").write(model, path, inputs)
    runner = formats.get("onnx").open(path)
    assert [node for node in onnx.load(path).graph.node if node.op_type == "RotaryEmbedding"]  # still one operator
    for rows, length, padding in ((1, 5, 0), (3, 9, 0), (5, 30, 3), (4, 64, 0)):
        batch = {name: part for name, part in tokens(rows, length, padding=padding).items() if name in inputs}
        assert torch.allclose(runner(batch), expected(model, batch), atol=1e-5)


def test_caches_with_positions_stay_as_they_are() -> None:
    helper = onnx.helper
    names = ["x", "cos", "sin", "positions"]
    node = helper.make_node("RotaryEmbedding", names, ["y"])
    values = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in (*names, "y")]
    model = helper.make_model(helper.make_graph([node], "rotary", values[:-1], values[-1:]))
    before = model.SerializeToString()
    assert expand_rotary_caches(model).SerializeToString() == before
