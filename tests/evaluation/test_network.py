"""The modules of student and teacher, as a verdict has them."""

import copy
from types import SimpleNamespace

import pytest
from torch import nn

from limbeck import Term
from limbeck.core.actors import Actors, frozen, trained
from limbeck.evaluation import TermGraph
from limbeck.evaluation.network import MAX_MODULES
from limbeck.objectives import HardTargets, Hint, SimilarityPreserving, SoftTargets

from .report import made
from .test_term_graph import net, wired


def test_parts_with_their_shapes_in_the_order_in_which_they_end():
    found = made.wired()
    assert isinstance(found, TermGraph)
    assert [module.path for module in found.student.modules] == [
        "normalize",
        "conv1",
        "bn1",
        "layer1",
        "layer2",
        "layer3",
        "linear",
        "logits",
    ]
    shapes = {module.path: module.shape for module in found.teacher.modules}
    assert (shapes["layer1"], shapes["layer3"], shapes["logits"]) == ([16, 32, 32], [64, 8, 8], [10])


def test_a_tap_inside_a_part_is_a_part_of_its_own():
    found = wired(Term(Hint(), student="0.2", teacher="input(0.2)"), stage="first")
    assert "0.2" in [module.path for module in found.student.modules]
    assert found.edges[0].teacher == ["input(0.2)"]
    assert found.edges[0].stage == "first"


def test_of_many_parts_those_that_are_read_are_kept():
    deep = nn.Sequential(nn.Flatten(), nn.Linear(192, 6), *[nn.Linear(6, 6) for _ in range(40)], nn.Linear(6, 4))
    found = wired(Term(SimilarityPreserving(), student="17", teacher="17"), student=deep, teacher=copy.deepcopy(deep)).student
    assert len(found.modules) == MAX_MODULES + 1  # and the logits
    assert found.omitted == 43 - MAX_MODULES
    assert "17" in [module.path for module in found.modules]


def test_models_are_left_as_they_were():
    student, teacher = net(4).train(), net(8).eval()
    actors = Actors({"student": trained(student), "teacher": frozen(teacher)})
    wired(Term(HardTargets()), actors=actors)
    assert student.training
    assert not any(module._forward_hooks for model in (student, teacher) for module in model.modules())


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
    assert {module.path: module.shape for module in found.student.modules}["encoder"] == [3]


class TwoHeads(nn.Module):
    """Features and logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(192, 6), nn.Linear(6, 4)

    def forward(self, x):
        features = self.body(x.flatten(1))
        return features, self.head(features)


def test_the_output_is_the_one_that_the_actor_chooses():
    found = wired(Term(HardTargets()), actors=Actors({"student": trained(TwoHeads(), output="(1)")})).student
    assert [(module.path, module.shape) for module in found.modules] == [("body", [6]), ("head", [4]), ("logits", [4])]
