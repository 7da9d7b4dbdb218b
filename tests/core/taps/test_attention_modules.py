"""Attention modules: which signals can be tapped, and which are refused."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn
from transformers import masking_utils, modeling_utils

from limbeck.core.errors import TapError
from limbeck.core.taps.encoder_layout import attention_layers
from limbeck.core.taps.probe import Probe
from tests.encoders import IDS, MASK, TEXT, L, build, close, inputs

REGISTRY = modeling_utils.ALL_ATTENTION_FUNCTIONS


def deberta():
    sizes = TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8, "share_att_key": True}
    torch.manual_seed(0)
    return transformers.DebertaV2Model(transformers.DebertaV2Config(**sizes)).double().eval()


def test_disentangled_attention_gives_its_states_and_refuses_its_scores():
    model, given = deberta(), {"input_ids": IDS, "attention_mask": MASK}
    with Probe(model, ["queries(2)", "values(2)", "hidden(1)", "hidden(3)"]) as probe, torch.no_grad():
        heard, expected = probe(given), model(**given, output_hidden_states=True).hidden_states
    query = model.encoder.layer[1].attention.self.query_proj(expected[1])
    close(heard["queries(2)"], query.reshape(3, 7, 4, 8).transpose(1, 2))  # of tokens, not of positions
    close(heard["hidden(1)"], expected[1])
    close(heard["hidden(3)"], expected[3])
    with pytest.raises(TapError, match=r"DebertaV2Model: scores of .* disentangled position terms .* queries, keys and values"):
        Probe(model, ["scores(2)"])


def test_the_first_deberta_has_numbered_layers_and_attention_of_its_own():
    sizes = TEXT | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
    torch.manual_seed(0)
    model = transformers.DebertaModel(transformers.DebertaConfig(**sizes)).double().eval()
    given = {"input_ids": IDS, "attention_mask": MASK}
    with Probe(model, [f"hidden({n})" for n in range(L + 1)]) as probe, torch.no_grad():
        heard, expected = probe(given), model(**given, output_hidden_states=True).hidden_states
    for n in range(L + 1):
        close(heard[f"hidden({n})"], expected[n])
    with pytest.raises(TapError, match=r"DisentangledSelfAttention has attention code of its own, .* can be tapped: in_proj"):
        Probe(model, ["queries(1)"])


def test_an_input_projection_alone_makes_no_attention():
    mixer = nn.Module()
    mixer.in_proj = nn.Linear(2, 6)
    assert attention_layers(nn.Sequential(mixer)) == []


def test_luke_is_refused_where_entities_change_its_formula():
    model, given = build("Luke"), inputs("Luke")
    entities = {"entity_ids": torch.ones(3, 1, dtype=torch.long), "entity_position_ids": torch.ones(3, 1, 2, dtype=torch.long)}
    with Probe(model, ["scores(1)"]) as probe, torch.no_grad():
        assert probe(given)["scores(1)"].shape == (3, 4, 7, 7)
        with pytest.raises(TapError, match="computes attention differently when given entity_hidden_states; leave"):
            probe(given | entities)


def torch_encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2, enable_nested_tensor=False).eval()


def test_torchs_own_attention_is_refused_and_its_layers_are_numbered():
    model, x = torch_encoder(), torch.rand(2, 5, 32)
    with pytest.raises(TapError, match="MultiheadAttention computes it within one fused function"):
        Probe(model, ["queries(1)"])
    with Probe(model, ["hidden(1)", "logits"]) as probe, torch.no_grad():
        close(probe(x)["hidden(1)"], model.layers[0](x), 1e-6)


class Foreign(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(8, 8) for _ in range(3))
        self.heads = 2

    def forward(self, x):
        return self.q_proj(x) + self.k_proj(x) + self.v_proj(x)


def test_attention_of_unknown_formula_is_refused_with_what_is_possible():
    with pytest.raises(TapError, match=r"Foreign has attention code of its own, .* can be tapped: q_proj, k_proj, v_proj"):
        Probe(nn.Sequential(Foreign(), Foreign()), ["scores(1)"])
    model, x = nn.Sequential(Foreign(), Foreign()), torch.rand(2, 5, 8)
    with Probe(model, ["hidden(-1)"]) as probe:
        assert torch.equal(probe(x)["hidden(-1)"], model(x))


def test_an_implementation_that_keeps_no_scores_is_refused(monkeypatch):
    model = build("Bert")
    monkeypatch.setitem(REGISTRY, "fast", REGISTRY["sdpa"])
    monkeypatch.setitem(masking_utils.ALL_MASK_ATTENTION_FUNCTIONS, "fast", masking_utils.sdpa_mask)
    model.set_attn_implementation("fast")
    with pytest.raises(TapError, match="runs 'fast', which keeps no scores; load the model with attn_implementation='sdpa'"):
        Probe(model, ["attention(1)"])(inputs("Bert"))
    assert Probe(model, ["queries(1)"])(inputs("Bert"))["queries(1)"].shape == (3, 4, 7, 8)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_gradient_checkpointing_is_refused_while_training():
    model = build("Bert")
    model.gradient_checkpointing_enable()
    with Probe(model, ["scores(1)"]) as probe:
        assert probe(inputs("Bert"))["scores(1)"].requires_grad  # in evaluation mode nothing runs again
        model.train()
        with pytest.raises(TapError, match="under gradient checkpointing; switch it off"):
            probe(inputs("Bert"))


def test_scores_that_are_capped_and_softmaxes_with_sinks_are_refused():
    model = build("Bert")
    part = model.encoder.layer[0].attention.self
    part.sinks = nn.Parameter(torch.zeros(4))
    with pytest.raises(TapError, match="has sinks; queries, keys and values can be tapped"):
        Probe(model, ["attention(1)"])
    del part.sinks
    with Probe(model, ["scores(1)"]) as probe, pytest.raises(TapError, match="BertSelfAttention caps its scores"):
        probe(inputs("Bert"), lambda one, given: one(**given, softcap=5.0))
