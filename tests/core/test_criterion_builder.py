"""The dry run: automatic taps, adapters, names, and what is refused before the first step."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.criterion import Criterion
from limbeck.core.errors import TermError
from limbeck.core.teachers import VirtualTeacher
from limbeck.core.terms import Term
from limbeck.models import resnet_cifar
from limbeck.objectives import (
    AttentionDistributions,
    AttentionScores,
    FeatureMapTransfer,
    HardTargets,
    HiddenCosine,
    HiddenStates,
    Hint,
    LogitMSE,
    SelfAttentionRelations,
    SoftTargets,
    ValueRelation,
    Variational,
)
from tests.core.networks import GENERATOR, Net, X, Y, student, teacher

HINTON = [Term(HardTargets(), weight=0.1), Term(SoftTargets(temperature=4), weight=0.9)]


def test_adapters_depend_on_the_seed_and_leave_torchs_generator_alone():
    def adapter(seed):
        return next(Criterion([Term(Hint(), student="body", teacher="body")], s, t, example=X, seed=seed).parameters())

    s, t = student(), teacher()
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = adapter(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    assert torch.equal(first, adapter(0))
    assert not torch.equal(first, adapter(1))


def test_building_leaves_no_trace_in_normalisation():
    s, t = resnet_cifar(8), resnet_cifar(8, width=24)
    images = torch.rand(1, 3, 16, 16)  # a single item must do
    before = copy.deepcopy(s.state_dict()), copy.deepcopy(t.state_dict())
    criterion = Criterion([Term(Hint(), student="layer1", adapter="conv_bn")], s, t, example=images)
    norm = next(m for m in criterion.adapters.modules() if isinstance(m, nn.BatchNorm2d))
    assert norm.num_batches_tracked == 0
    assert norm.training
    for state, model in zip(before, (s, t), strict=True):
        assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_class_counts_that_differ_are_named_with_the_term_and_both_shapes():
    with pytest.raises(
        TermError, match=r"term 'soft_targets' \(student student, teacher teacher\).*4 classes and the teacher 6"
    ):
        Criterion(HINTON, student(), Net(classes=6), example=(X, Y))


@pytest.mark.parametrize(
    ("term", "message"),
    [
        (Term(Hint(), student="bodi"), "unknown tap 'bodi'"),
        (Term(Hint(), student=("body", "head"), teacher="body"), "2 student taps and 1 teacher taps do not fit"),
        (Term(HardTargets(), trains=["studnet"]), "unknown actor among those the update trains 'studnet'; nearest: student"),
        (Term(Hint(), student="auto", teacher="body"), "'auto' chooses the taps of both sides"),
        (Term(SoftTargets(), student="auto", teacher=VirtualTeacher()), "'auto' chooses the taps of both sides"),
    ],
)
def test_terms_that_do_not_fit_are_refused(term, message):
    with pytest.raises(ValueError, match=message):
        Criterion([term], student(), teacher(), example=(X, Y))


def test_terms_may_be_used_again():
    term = Term(Variational(), student="body", teacher="body")
    first = Criterion([term], student(), teacher(), example=X)
    second = Criterion([term], Net(9), Net(3, seed=2), example=X)  # other shapes
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert second(X)["loss"].isfinite()


def test_names_are_told_apart():
    terms = [Term(SoftTargets(temperature=T)) for T in (1, 2)] + [Term(SoftTargets(), name="mine")]
    losses = Criterion(terms, student(), teacher())(X)
    assert list(losses) == ["loss", "soft_targets.0", "soft_targets.1", "mine"]


def test_automatic_taps_share_the_weight():
    s, t, images = resnet_cifar(8), resnet_cifar(14, width=20), torch.rand(2, 3, 16, 16)
    criterion = Criterion([Term(Hint(), student="auto", weight=6)], s, t, example=images)
    assert criterion.chosen_taps == [("layer1", "layer1"), ("layer2", "layer2"), ("layer3", "layer3")]
    losses = criterion(images)
    assert list(losses) == ["loss", "hint.layer1", "hint.layer2", "hint.layer3"]
    torch.testing.assert_close(losses["loss"], 2 * sum(losses[f"hint.layer{k}"] for k in (1, 2, 3)))


def texts(layers: int, width: int = 16, heads: int = 2) -> nn.Module:
    sizes = {"vocab_size": 20, "hidden_size": width, "num_attention_heads": heads, "intermediate_size": 24}
    torch.manual_seed(layers)
    return transformers.BertModel(transformers.BertConfig(**sizes, num_hidden_layers=layers)).eval()


TOKENS = {"input_ids": torch.randint(1, 20, (3, 5), generator=GENERATOR), "attention_mask": torch.ones(3, 5, dtype=torch.long)}


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        (HiddenStates, "hidden"),
        (HiddenCosine, "hidden"),
        (FeatureMapTransfer, "hidden"),
        (AttentionScores, "scores"),
        (AttentionDistributions, "attention"),
        (ValueRelation, "values"),
    ],
)
def test_automatic_taps_of_texts_are_numbered_layers(objective, kind):
    terms = [Term(objective(), teacher="auto", weight=6)]
    criterion = Criterion(terms, texts(2), texts(3), example=TOKENS)
    assert criterion.chosen_taps == [(f"{kind}(1)", f"{kind}(2)"), (f"{kind}(2)", f"{kind}(3)")]
    losses, name = criterion(TOKENS), objective.name
    assert list(losses) == ["loss", f"{name}.1", f"{name}.2"]
    torch.testing.assert_close(losses["loss"], 3 * (losses[f"{name}.1"] + losses[f"{name}.2"]))
    by_hand = [Term(objective(), ours, theirs, weight=3) for ours, theirs in criterion.chosen_taps]
    torch.testing.assert_close(Criterion(by_hand, texts(2), texts(3), example=TOKENS)(TOKENS)["loss"], losses["loss"])


def test_automatic_taps_of_relations_take_queries_keys_and_values_of_a_layer_together():
    models = texts(2, width=24, heads=3), texts(4)
    criterion = Criterion([Term(SelfAttentionRelations(heads=4), student="auto")], *models, example=TOKENS)
    kinds = ("queries", "keys", "values")
    assert criterion.chosen_taps == [(f"{kind}({m})", f"{kind}({n})") for m, n in ((1, 2), (2, 4)) for kind in kinds]
    by_hand = Term(SelfAttentionRelations(heads=4), [f"{kind}(1)" for kind in kinds], [f"{kind}(2)" for kind in kinds])
    expected = Criterion([by_hand], *models, example=TOKENS)(TOKENS)["loss"]
    losses = criterion(TOKENS)
    assert list(losses) == ["loss", "self_attention_relations.1", "self_attention_relations.2"]
    torch.testing.assert_close(losses["self_attention_relations.1"], expected)


def test_automatic_taps_of_texts_build_an_adapter_a_layer():
    criterion = Criterion([Term(HiddenStates(), student="auto")], texts(2, width=8), texts(4), example=TOKENS)
    assert sum(isinstance(part, nn.Linear) for part in criterion.adapters.modules()) == 2
    with pytest.raises(ValueError, match=r"equal shapes .* are needed; `self_attention_relations`"):
        Criterion([Term(AttentionScores(), student="auto")], texts(2, heads=4), texts(4), example=TOKENS)


def play(*, trains, terms):
    actors = Actors({"student": trained(student()), "teacher": frozen(teacher()), "generator": trained(nn.Linear(2, 3))})
    return actors, Criterion(terms, actors=actors, trains=trains, generator="generator", example=torch.randn(4, 2))


def test_gradient_that_cannot_be_kept_apart_is_refused():
    term = Term(LogitMSE(), student="student", teacher="teacher", trains=["student"])
    with pytest.raises(TermError, match="gradient of student would reach generator too; train them in updates of their own"):
        play(trains=("student", "generator"), terms=[term])
    actors = Actors({"a": trained(student()), "b": trained(Net(seed=3)), "generator": trained(nn.Linear(2, 3))})
    with pytest.raises(TermError, match="the update trains 'b', the teacher, and 'generator' through it"):
        Criterion(
            [Term(LogitMSE(), student="a", teacher="b")],
            actors=actors,
            trains=("a", "b", "generator"),
            generator="generator",
            example=torch.randn(4, 2),
        )
