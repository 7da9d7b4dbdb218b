"""Listening to attention leaves nothing behind, and interferes with nobody."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn
from transformers import masking_utils, modeling_utils

from limbeck.core.errors import TapError
from limbeck.core.taps import attention_recording
from limbeck.core.taps.probe import Probe
from tests.encoders import build, close, everything, inputs, reference

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


def test_a_copied_probe_listens_to_the_copied_model():
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
def test_a_compiled_stand_in_is_listened_to():
    model = build("Bert")
    compiled = torch.compile(model, backend="eager")
    with Probe(model, ["scores(1)", "attention(2)", "queries(3)"]) as probe, torch.no_grad():
        compiled(**inputs("Bert"))  # without a probe first
        heard, expected = probe(inputs("Bert"), lambda _, given: compiled(**given)[0]), probe(inputs("Bert"))
    for tap, signal in expected.items():
        close(heard[tap], signal)
