"""Which layers a model has, and what its attention can be asked for."""

from __future__ import annotations

import math
from collections import OrderedDict

import pytest
import torch
import transformers
from torch import nn

from limbeck.core.errors import TapError
from limbeck.core.taps.encoder_layout import attention_layers, layers
from limbeck.core.taps.probe import Probe
from limbeck.core.taps.tap import Tap
from limbeck.models import vit_tiny
from tests.encoders import IDS, IMAGES, MASK, SIZES, L, build, close, inputs


def test_a_layer_is_named_by_number_by_its_path_or_by_the_path_of_its_attention():
    taps = ["scores(2)", "scores(-2)", "scores(encoder.layer.1)", "scores(encoder.layer.1.attention.self)"]
    with Probe(build("Bert"), taps) as probe, torch.no_grad():
        heard = probe(inputs("Bert"))
    assert all(torch.equal(heard[tap], heard["scores(2)"]) for tap in taps)


def test_layers_of_shared_weights_are_told_apart_by_their_run():
    model = build("Albert")
    with Probe(model, ["scores(1)", "scores(2)", "scores(3)", "hidden(0)", "hidden(3)"]) as probe, torch.no_grad():
        heard = probe(inputs("Albert"))
    assert len(attention_layers(model)) == 1
    assert [(layer.path, layer.run) for layer in layers(model)] == [("encoder.albert_layer_groups.0", n) for n in range(L)]
    assert not torch.equal(heard["scores(1)"], heard["scores(2)"])
    assert not torch.equal(heard["scores(2)"], heard["scores(3)"])


def test_groups_of_shared_weights_run_in_turn():
    config = transformers.AlbertConfig(**SIZES["Albert"] | {"num_hidden_layers": 4, "num_hidden_groups": 2})
    found = [(layer.path[-1], layer.run) for layer in layers(transformers.AlbertModel(config))]
    assert found == [("0", 0), ("0", 1), ("1", 0), ("1", 1)]
    config.inner_group_num, config.num_hidden_groups = 2, 1
    with pytest.raises(TapError, match="several layers in each of its groups"):
        layers(transformers.AlbertModel(config))


def test_limbecks_own_vision_transformer():
    torch.manual_seed(0)
    model = vit_tiny(size=16, patch=8, dim=32, depth=2, heads=4).double().eval()
    nn.init.normal_(model.blocks[1].attn.qkv.weight, std=0.3)
    images = IMAGES[:, :3]
    taps = ["scores(2)", "attention(2)", "queries(2)", "keys(2)", "values(2)", "hidden(0)", "hidden(2)", "cls(-1)"]
    with Probe(model, [*taps, "input(blocks.1.attn.proj)", "input(blocks)", "blocks"]) as probe, torch.no_grad():
        heard = probe(images)
    close(heard["scores(2)"], heard["queries(2)"] @ heard["keys(2)"].mT / math.sqrt(8))
    mixed = heard["attention(2)"] @ heard["values(2)"]
    close(mixed.transpose(1, 2).flatten(2), heard["input(blocks.1.attn.proj)"])
    close(heard["hidden(0)"], heard["input(blocks)"])
    close(heard["hidden(2)"], heard["blocks"])
    close(heard["cls(-1)"], heard["blocks"][:, 0])


@pytest.mark.parametrize("name", ["XLM", "Flaubert"])
def test_a_list_of_attention_modules_is_no_list_of_layers(name):
    sizes = {"vocab_size": 50, "emb_dim": 32, "n_layers": L, "n_heads": 4, "n_langs": 1, "use_lang_emb": False}
    torch.manual_seed(0)
    model = getattr(transformers, f"{name}Model")(getattr(transformers, f"{name}Config")(**sizes)).double().eval()
    for tap in ("hidden(1)", "hidden(0)", "scores(1)"):
        with pytest.raises(TapError, match=rf"{name}Model has no list of layers .* 'attentions' are attention modules alone"):
            Probe(model, [tap])
    given = {"input_ids": IDS, "attention_mask": MASK}
    with Probe(model, ["layer_norm2.0"]) as probe, torch.no_grad():  # its path is the remedy
        heard, expected = probe(given), model(**given, output_hidden_states=True).hidden_states
    close(heard["layer_norm2.0"][MASK.bool()], expected[1][MASK.bool()])


@pytest.mark.parametrize("number", [4, -4, 0])
def test_a_number_out_of_range_says_how_many_layers_there_are(number):
    with pytest.raises(TapError, match=rf"BertModel has 3 layers: 1 to 3, or -1 to -3; got {number}"):
        Probe(build("Bert"), [f"scores({number})"])


@pytest.mark.parametrize(
    ("model", "tap", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(2, 2)), "hidden(1)", "Sequential has no list of layers with one attention module"),
        (lambda: nn.ModuleDict({"a": build("Bert"), "b": build("Bert")}), "scores(1)", r"several .*: a.encoder.layer, b.enc"),
        (lambda: build("Bert"), "scores(encoder)", "'encoder' in BertModel holds 3 attention modules, and one is needed: enc"),
        (lambda: build("Bert"), "scores(pooler)", "'pooler' in BertModel holds no attention modules, and one is needed: enc"),
        (
            lambda: build("Bert"),
            "scores(encoder.layer.7)",
            r"unknown tap 'encoder.layer.7' in BertModel; nearest: encoder.layer",
        ),
        (lambda: build("Bert"), "hidden(encoder)", "hidden states are numbered, .* got 'encoder'"),
        (lambda: build("Bert"), "hidden(5)", "BertModel has 3 layers"),
        (lambda: build("Bert"), "weights(1)", "unknown kind 'weights' in tap"),
    ],
)
def test_taps_that_do_not_exist(model, tap, message):
    with pytest.raises(TapError, match=message):
        Probe(model(), [tap])


def test_a_tap_finds_its_module():
    model = build("Bert")
    assert Tap.parse("scores(1)").find(model) is model.encoder.layer[0].attention.self
    assert Tap.parse("hidden(0)").find(model) is model.encoder.layer[0]
    assert Tap.parse("hidden(-1)").find(model) is model  # Transformers counts the model's own output as the last state
    assert attention_layers(nn.Sequential(OrderedDict(inner=model)))[1] == "inner.encoder.layer.1.attention.self"
