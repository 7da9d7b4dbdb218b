"""How a run was connected, as its verdict keeps it."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from limbeck import Term
from limbeck.core.actors import Actors, average, frozen, trained
from limbeck.core.adapters import Adapter, PoolMap
from limbeck.core.batch import as_batch
from limbeck.core.criterion import Criterion
from limbeck.core.schedules import Cosine, Linear, Step, Warmup
from limbeck.evaluation import TermGraph, build_term_graph
from limbeck.evaluation.term_graph import PARTS, describe
from limbeck.objectives import HardTargets, Hint, SimilarityPreserving, SoftTargets

from .report import made

BATCH = as_batch((torch.rand(2, 3, 8, 8), torch.tensor([0, 1])))


def net(width, depth=3):
    layers = [layer for at in range(depth) for layer in (nn.Conv2d(width if at else 3, width, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


def wired(*terms, student=None, teacher=None, actors=None, stage=""):
    criterion = Criterion(terms, student or net(4), teacher or net(8)) if actors is None else Criterion(terms, actors=actors)
    criterion.build(BATCH)
    criterion.close()
    return build_term_graph([(stage, criterion)], BATCH)


def test_parts_with_their_shapes_in_the_order_in_which_they_end():
    found = made.wired()
    assert isinstance(found, TermGraph)
    assert [part.path for part in found.student.parts] == [
        "normalize",
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "linear",
        "logits",
    ]
    shapes = {part.path: part.shape for part in found.teacher.parts}
    assert (shapes["layer1"], shapes["layer3"], shapes["logits"]) == ([16, 32, 32], [64, 8, 8], [10])


def test_terms_with_taps_adapters_and_weights():
    edges = {edge.name: edge for edge in made.wired().edges}
    assert (edges["hard_targets"].student, edges["hard_targets"].teacher) == (["logits"], [])
    assert edges["soft_targets"].weight == "0.9"
    hint = edges["hint"]
    assert (hint.student, hint.teacher, hint.weight) == (["layer2"], ["layer3"], "linear 1 → 0")
    assert hint.adapter == "resize to 8×8, 1×1 conv 32 → 64, batch norm"
    assert edges["attention_transfer.layer2"].weight == "333.3"
    assert edges["attention_transfer.layer2"].adapter is None


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (2, "2"),
        (Linear(0, 5), "linear 0 → 5"),
        (Cosine() * 3, "3 × cosine 1 → 0"),
        (Warmup(until=0.1), "warmup(until=0.1)"),
        (Step(), "step"),
    ],
)
def test_weights_in_words(weight, words):
    assert wired(Term(SoftTargets(), weight=weight)).edges[0].weight == words


def test_a_tap_inside_a_part_is_a_part_of_its_own():
    found = wired(Term(Hint(), student="0.2", teacher="input(0.2)"), stage="first")
    assert "0.2" in [part.path for part in found.student.parts]
    assert found.edges[0].teacher == ["input(0.2)"]
    assert found.edges[0].stage == "first"


def test_of_many_parts_those_that_are_read_are_kept():
    deep = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), *[nn.Linear(6, 6) for _ in range(40)], nn.Linear(6, 4))
    found = wired(Term(SimilarityPreserving(), student="17", teacher="17"), student=deep, teacher=copy.deepcopy(deep)).student
    assert len(found.parts) == PARTS + 1  # and the logits
    assert found.hidden == 43 - PARTS
    assert "17" in [part.path for part in found.parts]


def test_other_actors_are_written_out_and_a_missing_teacher_is_none():
    actors = Actors({"student": trained(net(4)), "average": average("student", 0.9)})
    found = wired(Term(SoftTargets(), teacher="average"), actors=actors)
    assert found.teacher is None
    assert found.edges[0].teacher == ["average"]


def test_models_are_left_as_they_were():
    student, teacher = net(4).train(), net(8).eval()
    actors = Actors({"student": trained(student), "teacher": frozen(teacher)})
    wired(Term(HardTargets()), actors=actors)
    assert student.training
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


def test_adapters_in_words():
    assert describe(nn.Identity()) == ""
    assert describe(Adapter(nn.Sequential(PoolMap(), nn.Linear(3, 4)))) == "mean over positions, linear 3 → 4"
    assert describe(nn.Conv2d(3, 4, 1)) == "1×1 conv 3 → 4"
    assert describe(nn.GRU(3, 4)) == "GRU"


class Several(nn.Module):
    """A module that gives what modules of Transformers give."""

    def __init__(self, wrap):
        super().__init__()
        self.wrap, self.inner = wrap, nn.Linear(3, 3)

    def forward(self, x):
        return self.wrap(self.inner(x.mean((2, 3))))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: (state, 3),
        lambda state: {"other": 1, "sentence_embedding": state},
        lambda state: SimpleNamespace(last_hidden_state=state, pooler_output=None),
    ],
)
def test_modules_that_give_several_tensors_have_a_shape(wrap):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = Several(wrap), nn.Linear(3, 4)

        def forward(self, x):
            self.encoder(x)
            return self.head(x.mean((2, 3)))

    found = wired(Term(SoftTargets()), student=Net(), teacher=Net())
    assert {part.path: part.shape for part in found.student.parts}["encoder"] == [3]
