"""Texts longer than a model has positions for are refused."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("transformers")
from transformers import LEDConfig, LEDForConditionalGeneration

from limbeck.integrations.position_limits import PositionLimits
from tests.integrations.tiny import bert, ids, t5


def test_encoder_and_decoder_have_their_own_limits():
    torch.manual_seed(0)
    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 1, "decoder_attention_heads": 1}
    more = {"max_encoder_position_embeddings": 48, "max_decoder_position_embeddings": 16, "attention_window": 4}
    led = LEDForConditionalGeneration(LEDConfig(vocab_size=60, encoder_ffn_dim=8, decoder_ffn_dim=8, **sizes, **more))
    positions = PositionLimits.of_model(led, "student", "at most {limit}", encoder_decoder=True)
    assert positions.limits == {"input_ids": 48, "decoder_input_ids": 16}
    positions.refuse_longer({"input_ids": ids(2)[0].repeat(1, 3)})
    with pytest.raises(ValueError, match=r"decoder_input_ids of 17 tokens, and LED.* has positions for 16; at most 16"):
        positions.refuse_longer({"decoder_input_ids": torch.ones(2, 17)})


def test_packed_texts_are_not_limited():
    positions = PositionLimits.of_model(bert(), "student", "")
    positions.refuse_longer({"input_ids": torch.ones(1, 90), "position_ids": torch.arange(90)[None] % 30})
    positions.refuse_longer({"pixel_values": torch.ones(1, 90)})
    assert PositionLimits.of_model(t5(8, 0), "student", "", encoder_decoder=True).limits == {}
