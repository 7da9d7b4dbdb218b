"""What attention modules say, against Transformers' own outputs."""

from __future__ import annotations

import copy
import functools
import math

import pytest
import torch
import transformers
from torch import nn
from transformers import masking_utils, modeling_utils

from limbeck.core.errors import TapError
from limbeck.core.taps import attention_recording
from limbeck.core.taps.probe import Probe
from tests.encoders import IDS, MASK, SINGLE, SIZES, L, build, close, everything, inputs, made, reference


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", list(SIZES))
def test_distributions_are_the_models_own(name, implementation):
    model = build(name, implementation)
    with Probe(model, everything()) as probe, torch.no_grad():
        heard = probe(inputs(name))
    for n, expected in enumerate(reference(name).attentions, start=1):
        assert expected.std() > 0.01
        close(heard[f"attention({n})"], expected.double(), 1e-6 if name in SINGLE else 1e-10)
        masked = heard[f"scores({n})"].masked_fill(expected == 0, -math.inf)
        close(heard[f"attention({n})"], masked.softmax(-1))
        assert heard[f"scores({n})"].abs().max() < 1e4  # no mask in them


@pytest.mark.parametrize("name", list(SIZES))
def test_hidden_states_are_numbered_as_in_transformers(name):
    taps = [f"hidden({n})" for n in range(L + 1)] + ["hidden(-1)", f"hidden(-{L})", "cls(0)", "cls(2)", "cls(-1)"]
    with Probe(build(name, "eager"), taps) as probe, torch.no_grad():
        heard = probe(inputs(name))
    expected = reference(name).hidden_states
    assert len(expected) == L + 1
    for n in range(L + 1):
        close(heard[f"hidden({n})"], expected[n])
    close(heard["hidden(-1)"], expected[-1])
    close(heard[f"hidden(-{L})"], expected[1])
    for n in (0, 2, -1):
        close(heard[f"cls({n})"], expected[n][:, 0])


@pytest.mark.parametrize("name", list(SIZES))
def test_queries_and_keys_make_the_scores(name):
    with Probe(build(name), everything()) as probe, torch.no_grad():
        heard = probe(inputs(name))
    for n in range(1, L + 1):
        query, key, scores = (heard[f"{kind}({n})"] for kind in ("queries", "keys", "scores"))
        key = key.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
        scale = 1 if name == "T5Encoder" else 1 / math.sqrt(query.shape[-1])
        rest = scores - query @ key.mT * scale
        close(rest, rest[:1].expand_as(rest))  # what is added depends on positions only
        assert (rest.abs().max() > 0.1) == (name in ("MPNet", "T5Encoder"))


OUT = {
    "Bert": "input(encoder.layer.1.attention.output.dense)",
    "MPNet": "input(encoder.layer.1.attention.attn.o)",
    "ModernBert": "input(layers.1.attn.Wo)",
    "ViT": "input(layers.1.attention.o_proj)",
    "RoFormer": "input(encoder.layer.1.attention.output.dense)",
}


@pytest.mark.parametrize("name", list(OUT))
def test_distributions_and_values_make_what_leaves_the_attention(name):
    with Probe(build(name), ["attention(2)", "values(2)", OUT[name]]) as probe, torch.no_grad():
        heard = probe(inputs(name))
    mixed = heard["attention(2)"] @ heard["values(2)"]
    close(mixed.transpose(1, 2).flatten(2), heard[OUT[name]])


def test_queries_and_keys_are_rotated_where_the_attention_rotates():
    with Probe(build("ModernBert"), ["queries(2)", "values(2)", "layers.1.attn.Wqkv"]) as probe, torch.no_grad():
        heard = probe(inputs("ModernBert"))
    query, _, value = heard["layers.1.attn.Wqkv"].reshape(3, 7, 3, 4, 8).permute(2, 0, 3, 1, 4)
    close(heard["values(2)"], value)
    close(heard["queries(2)"][:, :, 0], query[:, :, 0], 1e-6)  # position 0 turns by nothing
    assert (heard["queries(2)"] - query).abs().max() > 0.1


@pytest.mark.parametrize("turns_values", [False, True])
def test_roformers_values_are_turned_where_the_model_turns_them(turns_values):
    torch.manual_seed(0)
    config = transformers.RoFormerConfig(**SIZES["RoFormer"], rotary_value=turns_values)
    model, query = transformers.RoFormerModel(config).double().eval(), "encoder.layer.1.attention.self.query"
    with Probe(model, ["attention(2)", "queries(2)", "values(2)", OUT["RoFormer"], query]) as probe:
        heard = probe(inputs("RoFormer"))
    close((heard["attention(2)"] @ heard["values(2)"]).transpose(1, 2).flatten(2), heard[OUT["RoFormer"]])
    projected = heard[query].reshape(3, 7, 4, 8).transpose(1, 2)
    close(heard["queries(2)"][:, :, 0], projected[:, :, 0], 1e-6)  # position 0 turns by nothing
    assert (heard["queries(2)"] - projected).abs().max() > 0.1


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", list(SIZES))
def test_the_model_computes_the_same_with_taps_as_without(name, implementation):
    model, said = build(name, implementation), []
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with torch.no_grad():
        expected = model(**inputs(name))[0]
        for taps in (everything(), ["scores(1)"], ["queries(-1)", "values(-1)"]):
            with Probe(model, taps) as probe:
                probe(inputs(name), lambda one, given: said.append(one(**given)[0]))
            close(said[-1], expected, 1e-5 if name in SINGLE else 1e-10)
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items())
    assert type(model) is type(made(name))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_a_bias_that_comes_within_the_mask_belongs_to_the_scores(implementation):
    torch.manual_seed(0)
    bias, allowed = torch.randn(1, 4, 7, 7, dtype=torch.float64), MASK[:, None, None].bool()
    merged = bias.masked_fill(~allowed, torch.finfo(torch.float64).min)
    model = build("Bert", implementation)
    with Probe(model, ["scores(1)", "attention(1)", "queries(1)", "keys(1)"]) as probe, torch.no_grad():
        heard = probe({"input_ids": IDS, "attention_mask": merged})
    plain = heard["queries(1)"] @ heard["keys(1)"].mT / math.sqrt(8)
    close(heard["scores(1)"], plain + bias.masked_fill(~allowed, 0))
    close(heard["attention(1)"], (plain + merged).softmax(-1))


def test_a_mask_that_the_kernel_makes_itself_is_made_for_it():
    model, given, said = (
        build("Llama"),
        {"input_ids": IDS},
        [],
    )  # without padding, sdpa gets no mask and knows that it is causal
    with Probe(model, ["attention(1)", "scores(2)", "attention(3)"]) as probe, torch.no_grad():
        heard = probe(given, lambda one, given: said.append(one(**given)[0]) or said[0])
        close(said[0], model(**given)[0], 1e-5)
    assert (heard["attention(1)"].triu(1) == 0).all()
    assert (heard["scores(2)"].triu(1) != 0).any()


def test_a_token_that_may_look_at_nothing_gets_what_the_models_kernel_gives_it():
    config = transformers.ModernBertConfig(**SIZES["ModernBert"] | {"local_attention": 2})
    torch.manual_seed(0)
    model, said = transformers.ModernBertModel(config).double().eval(), []
    with Probe(model, ["attention(2)", "scores(3)"]) as probe, torch.no_grad():
        heard = probe(inputs("ModernBert"), lambda one, given: said.append(one(**given)[0]) or said[0])
        close(said[0], model(**inputs("ModernBert"))[0], 1e-6)
    close(heard["attention(2)"][0, :, 6], torch.full((4, 7), 1 / 7, dtype=torch.float64))  # padding, and its window too


@pytest.mark.parametrize("tap", ["scores(2)", "attention(2)", "queries(2)"])
@pytest.mark.parametrize("name", ["Bert", "MPNet"])
def test_gradient_reaches_the_query_projection(name, tap):
    model = build(name)
    layer = model.encoder.layer[1].attention
    with Probe(model, [tap]) as probe:
        probe(inputs(name))[tap].square().sum().backward()
    gradient = (layer.self.query if name == "Bert" else layer.attn.q).weight.grad
    assert gradient is not None
    assert gradient.abs().max() > 1e-3
    assert model.encoder.layer[2].output.dense.weight.grad is None


@pytest.mark.parametrize("name", ["Bert", "MPNet"])
def test_dropout_acts_on_the_output_and_not_on_the_distribution(name):
    model, plain, said = build(name).train(), build(name, "eager").train(), []
    with Probe(model, ["attention(1)", "attention(2)", "logits"]) as probe, torch.no_grad():
        torch.manual_seed(1)
        heard = probe(inputs(name), lambda one, given: said.append(one(**given)[0]) or said[-1])
        torch.manual_seed(1)
        expected = plain(**inputs(name))[0]
    close(said[0], expected)  # dropped where the eager model drops
    close(heard["attention(1)"].sum(-1), torch.ones(3, 4, 7, dtype=torch.float64))
    assert (heard["attention(1)"][2] > 0).all()


@pytest.mark.parametrize("name", ["Bert", "ModernBert", "MPNet"])
def test_autocast(name):
    model = build(name).float()
    taps = everything(("scores", "attention", "values"))
    with Probe(model, taps) as probe:
        exact = probe(inputs(name))
        with torch.autocast("cpu", torch.bfloat16):
            heard = probe(inputs(name))
        heard["scores(2)"].float().square().mean().backward()
    for tap in taps:
        torch.testing.assert_close(heard[tap].float(), exact[tap], rtol=0.1, atol=0.2)
    assert heard["values(1)"].dtype == torch.bfloat16
    assert heard["attention(1)"].dtype == torch.float32
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


REGISTRY = modeling_utils.ALL_ATTENTION_FUNCTIONS


@pytest.fixture
def calls(monkeypatch):
    """Which functions computed attention, in order."""
    found = []

    def counted(name, function):
        def call(*args, **kwargs):
            found.append(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setitem(REGISTRY._global_mapping, "sdpa", counted("sdpa", REGISTRY["sdpa"]))
    monkeypatch.setattr(attention_recording, "_step_by_step", counted("ours", attention_recording._step_by_step))
    return found


@pytest.mark.parametrize(
    ("taps", "expected"),
    [
        (["logits", "hidden(1)", "encoder.layer.0"], ["sdpa"] * 3),
        (["queries(3)", "keys(3)", "values(1)"], ["sdpa"] * 3),
        (["scores(1)", "values(3)"], ["ours", "sdpa", "sdpa"]),
        (["attention(-1)"], ["sdpa", "sdpa", "ours"]),
    ],
)
def test_only_layers_whose_matrices_are_tapped_leave_the_models_implementation(calls, taps, expected):
    model = build("Bert")
    with Probe(model, taps) as probe, torch.no_grad():
        probe(inputs("Bert"), lambda one, given: one(**given)[0])
        assert calls == expected
        calls.clear()
        model(**inputs("Bert"))
    assert calls == ["sdpa"] * 3


def hooks(model):
    return [hook for m in model.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


@pytest.mark.parametrize("name", ["Bert", "MPNet"])
def test_everything_is_as_before_after_an_exception(name):
    model = build(name)
    entries, config = dict(REGISTRY._local_mapping), model.config.to_dict()

    def fails(one, given):
        one(**given)
        assert name == "MPNet" or REGISTRY._local_mapping != entries
        raise KeyError("the user's")

    with Probe(model, everything()) as probe, torch.no_grad():
        with pytest.raises(KeyError, match="the user's"):
            probe(inputs(name), fails)
        assert REGISTRY._local_mapping == entries
        assert model.config._attn_implementation == ("sdpa" if name == "Bert" else "eager")
        assert model.config.to_dict() == config
        assert hooks(model) == []
        heard = probe(inputs(name))
    close(heard["attention(1)"], reference(name).attentions[0])


def test_an_entry_of_the_users_own_is_put_back(monkeypatch):
    monkeypatch.setitem(REGISTRY, "sdpa", functools.partial(REGISTRY["sdpa"]))
    mine = REGISTRY["sdpa"]
    with Probe(build("Bert"), ["scores(1)"]) as probe, torch.no_grad():
        probe(inputs("Bert"), lambda one, given: one(**given)[0])
    assert REGISTRY._local_mapping["sdpa"] is mine


def test_two_probes_on_one_model_and_one_within_the_other():
    model, inner, entries = build("Bert"), {}, dict(REGISTRY._local_mapping)
    with Probe(model, ["scores(1)"]) as one, Probe(model, ["attention(1)", "queries(2)"]) as other, torch.no_grad():

        def within(model, given):
            inner.update(other(given))
            return model(**given)[0]

        for heard in (one(inputs("Bert")), one(inputs("Bert"), within)):
            assert list(heard) == ["scores(1)"]
        assert sorted(inner) == ["attention(1)", "queries(2)"]
        assert torch.equal(heard["scores(1)"], one(inputs("Bert"))["scores(1)"])
        close(other(inputs("Bert"))["attention(1)"], reference("Bert").attentions[0])
    assert REGISTRY._local_mapping == entries


def test_student_and_teacher_of_one_class_at_once():
    teacher, student = build("Bert").requires_grad_(False), build("Bert")
    for parameter in student.parameters():
        parameter.data.mul_(1.1)
    with Probe(student, ["scores(2)"]) as ours, Probe(teacher, ["scores(2)", "queries(1)"]) as theirs:

        def both(one, given):  # a student that runs its teacher
            with torch.no_grad():
                said.update(theirs(given))
            return one(**given)[0]

        said = {}
        heard = ours(inputs("Bert"), both)
        alone = theirs(inputs("Bert"))
    assert heard["scores(2)"].requires_grad
    assert not said["scores(2)"].requires_grad
    close(said["scores(2)"], alone["scores(2)"])
    assert (heard["scores(2)"] - said["scores(2)"]).abs().max() > 0.01


def test_nothing_is_recorded_outside_a_call_or_after_closing():
    model = build("Bert")
    probe = Probe(model, ["scores(1)", "queries(1)"])
    model(**inputs("Bert"))
    assert probe._recorded == {}
    probe.close()
    with pytest.raises(TapError, match="was not reached"):
        probe(inputs("Bert"))["scores(1)"]


def test_a_copied_probe_records_the_copied_model():
    with Probe(build("Bert"), ["scores(1)"]) as probe, torch.no_grad():
        twin = copy.deepcopy(probe)
        nn.init.zeros_(twin.model.encoder.layer[0].attention.self.query.weight)
        nn.init.zeros_(twin.model.encoder.layer[0].attention.self.query.bias)
        assert twin(inputs("Bert"))["scores(1)"].abs().max() == 0
        assert probe(inputs("Bert"))["scores(1)"].abs().max() > 0.1


def test_queries_that_are_changed_in_place_are_kept_as_they_were(monkeypatch):
    def spoils(module, query, key, value, mask, **options):
        query.mul_(0)
        return REGISTRY["sdpa"](module, query, key, value, mask, **options)

    model = build("Bert")
    with Probe(model, ["queries(1)"]) as probe, torch.no_grad():
        expected = probe(inputs("Bert"))["queries(1)"].clone()
        monkeypatch.setitem(REGISTRY, "spoils", spoils)
        monkeypatch.setitem(masking_utils.ALL_MASK_ATTENTION_FUNCTIONS, "spoils", masking_utils.sdpa_mask)
        model.set_attn_implementation("spoils")
        close(probe(inputs("Bert"))["queries(1)"], expected)


@pytest.mark.slow
def test_a_compiled_replacement_is_recorded():
    model = build("Bert")
    compiled = torch.compile(model, backend="eager")
    with Probe(model, ["scores(1)", "attention(2)", "queries(3)"]) as probe, torch.no_grad():
        compiled(**inputs("Bert"))  # without a probe first
        heard, expected = probe(inputs("Bert"), lambda _, given: compiled(**given)[0]), probe(inputs("Bert"))
    for tap, signal in expected.items():
        close(heard[tap], signal)
