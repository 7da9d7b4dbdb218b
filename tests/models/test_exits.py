"""Exits at the taps of a backbone that is not edited."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from torch import nn

from limbeck import Criterion, Dataset, Items, Optimizer, Run, Settings, Stage, Term, Update, models, steps
from limbeck.core.actors import Actors, trained
from limbeck.core.errors import TapError
from limbeck.core.reference_module import module_of
from limbeck.core.taps import Probe
from limbeck.models.exits import with_exits
from limbeck.objectives import HardTargets, SoftTargets
from tests import encoders

IMAGES = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 3])


@pytest.fixture
def backbone() -> nn.Module:
    torch.manual_seed(0)
    return models.get("resnet_cifar", depth=8, width=8, classes=4)


def test_the_backbone_keeps_its_paths_keys_and_output(backbone):
    before = backbone.state_dict()
    new = with_exits(backbone, ["layer1", "layer2.0"])
    assert list(new.state_dict())[: len(before)] == list(before)
    assert {key.split(".")[1] for key in list(new.state_dict())[len(before) :]} == {"layer1", "layer2_0"}
    assert torch.equal(new.eval()(IMAGES), backbone.eval()(IMAGES))
    assert not hasattr(backbone, "exits")
    with Probe(new, ["exits.layer1", "exits.layer2_0"]) as probe:
        signals = probe(IMAGES)
    assert [tuple(signal.shape) for signal in signals.values()] == [(4, 4), (4, 4)]


def test_an_exit_runs_only_where_it_is_read(backbone):
    new = with_exits(backbone, ["layer1"])
    ran = []
    for part in (new.exits.layer1, copy.deepcopy(new).exits.layer1):
        part.forward = lambda *_: ran.append(1)
    new(IMAGES)
    assert not ran
    with Probe(new, ["exits.layer1.features"]):
        new(IMAGES)
    assert ran


def test_a_copy_runs_exits_of_its_own(backbone):
    new = with_exits(backbone, ["layer1"]).eval()
    other = copy.deepcopy(new)
    nn.init.zeros_(new.exits.layer1.classifier.weight)
    nn.init.zeros_(new.exits.layer1.classifier.bias)
    read = []
    for model in (new, other):
        with Probe(model, ["exits.layer1"]) as probe:
            read.append(probe(IMAGES)["exits.layer1"])
    assert not read[0].any()
    assert read[1].any()


def test_exits_are_saved_and_loaded(backbone, tmp_path):
    new = with_exits(backbone, ["layer1", "layer2"], classes=7).eval()
    models.save_model(new, None, tmp_path)
    loaded = models.load_model(tmp_path)
    for tap in ("exits.layer2", "logits"):
        with Probe(new, [tap]) as ours, Probe(loaded, [tap]) as theirs:
            assert torch.equal(ours(IMAGES)[tap], theirs(IMAGES)[tap])
    assert models.spec_of(loaded) == models.spec_of(new)


def test_exits_learn_from_the_last_layer(backbone):
    new = with_exits(backbone, ["layer1", "layer2"])
    terms = [Term(HardTargets()), Term(SoftTargets(), student="exits.*", teacher="student")]
    criterion = Criterion(terms, actors=Actors({"student": trained(new)}), example=(IMAGES, LABELS))
    assert [term.name for term in criterion.terms][1:] == ["soft_targets.exits.layer1", "soft_targets.exits.layer2"]
    criterion((IMAGES, LABELS))["loss"].backward()
    assert all(parameter.grad is not None for parameter in new.parameters())


def test_a_pruned_exit_holds_only_what_it_needs_and_is_saved_and_exported(backbone, tmp_path):
    actors = Actors({"student": trained(with_exits(backbone, ["layer1", "layer2"]))})
    whole = module_of("student:exits.layer1", actors).eval()
    small = module_of("student:exits.layer1", actors, prune=True).eval()
    expected = whole(IMAGES)
    assert torch.equal(small(IMAGES), expected)
    assert sum(isinstance(part, nn.Conv2d) for part in small.modules()) == 6  # conv1, layer1 and the bottleneck
    models.save_model(small, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(IMAGES), expected)
    program = torch.export.export(copy.deepcopy(small), (IMAGES,), strict=False)
    torch.testing.assert_close(program.module()(IMAGES), expected)


def test_the_pruned_model_itself_holds_no_exits(backbone, tmp_path):
    actors = Actors({"student": trained(with_exits(backbone, ["layer1"]))})
    plain = module_of("student", actors, prune=True).eval()
    assert models.count_parameters(plain) == models.count_parameters(backbone)
    assert torch.equal(plain(IMAGES), backbone.eval()(IMAGES))
    models.save_model(plain, None, tmp_path)
    assert torch.equal(models.load_model(tmp_path)(IMAGES), plain(IMAGES))
    assert module_of("student", actors) is actors["student"].model


def test_a_run_trains_exits_and_resumes(backbone, tmp_path):
    items = Items.from_tensors(
        IMAGES.repeat(4, 1, 1, 1) + torch.arange(16)[:, None, None, None] / 100, LABELS.repeat(4), classes=4
    )

    def run(folder, count, resume=False):
        actors = {"student": trained(with_exits(copy.deepcopy(backbone), ["layer1"], example=IMAGES))}
        terms = [Term(HardTargets()), Term(SoftTargets(), student="exits.*", teacher="student")]
        stage = Stage([Update(terms)], steps(count), Optimizer("sgd", lr=0.1))
        settings = Settings(progress=False, device="cpu", trackers=(), checkpoint_every=2)
        torch.manual_seed(1)
        return Run(actors, [stage], source=Dataset(items, batch_size=4), settings=settings, folder=folder).fit(resume=resume)

    torch.manual_seed(0)
    whole = run(tmp_path / "whole", 4).actors["student"].model.state_dict()
    assert any(key.startswith("exits.layer1") for key in whole)
    shutil.rmtree(tmp_path / "whole" / "checkpoints" / "step-000000004")
    again = run(tmp_path / "whole", 4, resume=True).actors["student"].model.state_dict()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_tokens_that_are_padding_do_not_count():
    new = with_exits(encoders.build("Roberta"), ["encoder.layer.0"], classes=3, example=encoders.inputs("Roberta")).eval()
    tokens, mask = encoders.IDS[:1], encoders.MASK[:1]
    with Probe(new, ["exits.encoder_layer_0"]) as probe:
        padded = probe({"input_ids": tokens, "attention_mask": mask})
        short = probe({"input_ids": tokens[:, :4], "attention_mask": mask[:, :4]})
    torch.testing.assert_close(*(signals["exits.encoder_layer_0"] for signals in (padded, short)))
    assert new.exits.mask is None


def test_vectors_have_exits_too():
    net = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4))
    new = with_exits(net, ["0"])
    with Probe(new, ["exits.0"]) as probe:
        assert probe(torch.rand(5, 3))["exits.0"].shape == (5, 4)
    assert models.spec_of(new) is None


def test_the_exported_model_has_no_exits(backbone):
    new = with_exits(backbone, ["layer1"]).eval()
    program = torch.export.export(new, (IMAGES,), strict=False)
    assert torch.allclose(program.module()(IMAGES), backbone.eval()(IMAGES), atol=1e-5)
    used = [node for node in program.graph.nodes if node.op == "placeholder" and "exits" in node.name and node.users]
    assert not used


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (["layer1", "layer1"], "names 'layer1' twice"),
        (["layer2", "layer1"], r"they run in the order \['layer1', 'layer2'\]; name them in that order"),
        ([], "name at least one"),
        ("layer1", "in a list"),
        (["layr1"], "unknown tap 'layr1'"),
        (["input(layer1)"], "no path"),
    ],
)
def test_taps_without_an_exit_are_refused(backbone, taps, message):
    with pytest.raises((ValueError, TapError), match=message):
        with_exits(backbone, taps)


def test_exits_are_added_once_and_need_an_example_where_none_can_be_made(backbone):
    with pytest.raises(ValueError, match="has an attribute 'exits' already"):
        with_exits(with_exits(backbone, ["layer1"]), ["layer2"])
    with pytest.raises(ValueError, match="pass example=inputs"):
        with_exits(nn.Sequential(nn.Bilinear(2, 2, 2)), ["0"])
