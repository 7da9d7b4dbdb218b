"""The terms of a run, as its verdict has them."""

import torch
from torch import nn

from limbeck import Term
from limbeck.core.actors import Actors, average, trained
from limbeck.core.batch import as_batch
from limbeck.core.criterion import Criterion
from limbeck.evaluation import build_term_graph
from limbeck.evaluation.report.networks import networks
from limbeck.objectives import HardTargets, SoftTargets

from .report import made

BATCH = as_batch((torch.rand(2, 3, 8, 8), torch.tensor([0, 1])))


def net(width, depth=3):
    layers = [layer for at in range(depth) for layer in (nn.Conv2d(width if at else 3, width, 3, padding=1), nn.ReLU())]
    return nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 4))


def wired(*terms, student=None, teacher=None, actors=None, stage="", trains=("student",)):
    if actors is None:
        criterion = Criterion(terms, student or net(4), teacher or net(8))
    else:
        criterion = Criterion(terms, actors=actors, trains=trains)
    criterion.build(BATCH)
    criterion.close()
    return build_term_graph([(stage, criterion)], BATCH)


def test_terms_with_taps_adapters_and_weights():
    edges = {edge.name: edge for edge in made.wired().edges}
    assert (edges["hard_targets"].student, edges["hard_targets"].teacher) == (["logits"], [])
    assert edges["soft_targets"].weight == "0.9"
    hint = edges["hint"]
    assert (hint.student, hint.teacher, hint.weight) == (["layer2"], ["layer3"], "linear 1 → 0")
    assert hint.adapter == "resize to 8×8, 1×1 conv 32 → 64, batch norm"
    assert edges["attention_transfer.layer2"].weight == "333.3"
    assert edges["attention_transfer.layer2"].adapter is None


def test_other_actors_are_written_out_and_a_missing_teacher_is_none():
    actors = Actors({"student": trained(net(4)), "average": average("student", 0.9)})
    found = wired(Term(SoftTargets(), teacher="average"), actors=actors)
    assert found.teacher is None
    assert found.edges[0].teacher == ["average"]


def test_in_a_run_of_peers_the_first_term_says_which_are_drawn():
    actors = Actors({"peers.a": trained(net(4)), "peers.b": trained(net(8))})
    terms = [Term(SoftTargets(), student=f"peers.{one}", teacher=f"peers.{other}") for one, other in ("ab", "ba")]
    found = wired(*terms, actors=actors, trains=("peers.a", "peers.b"))
    assert found.names == ("peers.a", "peers.b")
    assert (found.student.modules[0].shape[0], found.teacher.modules[0].shape[0]) == (4, 8)
    assert [(edge.student, edge.teacher) for edge in found.edges] == [(["logits"], ["logits"]), (["peers.b"], ["peers.a"])]
    assert "peers.a (Sequential) on the left, peers.b (Sequential) on the right." in str(
        networks(made.verdict(term_graph=found))
    )


def test_a_peer_that_learns_from_labels_alone_has_no_teacher():
    actors = Actors({"one": trained(net(4))})
    graph = wired(Term(HardTargets(), student="one"), actors=actors, trains=("one",))
    assert (graph.names, graph.teacher) == (("one", "teacher"), None)
