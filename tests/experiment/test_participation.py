"""Actors that take no part in a run, and those that are to be trained and are not, are named before the training."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from limbeck import Distillation, Term, average, frozen, trained
from limbeck.core.teachers import Ensemble
from limbeck.data import Items
from limbeck.data.sources import Generated
from limbeck.engine import Stage, Update, steps
from limbeck.objectives import HardTargets, LogitMSE, SoftTargets
from tests.experiment.tiny_classifiers import QUICK, Own

ITEMS = Items.from_tensors(torch.rand(40, 64), torch.arange(40) % 10)
IDLE = "it takes no part in the run"
LABELS, FROM_PEERS = Term(HardTargets(), student="peers.*"), Term(SoftTargets(), student="peers.a", teacher="peers.*")


def told(actors: dict[str, Any], *updates: Update, **options: Any) -> list[str]:
    """What is said of actors before the training."""
    job = Distillation(actors=actors, stages=[Stage(list(updates), steps(1))], training=QUICK, control=False, **options)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        job.check(ITEMS)
    return [str(one.message) for one in found if str(one.message).startswith("actors.")]


def test_an_actor_in_no_update_is_named_with_the_remedy() -> None:
    peers = {"peers.a": Own(4), "peers.b": Own(4), "peer.c": Own(4)}
    (line,) = told(peers, Update([LABELS], trains="peers.*"), evaluate={"a": "peers.a"})
    assert line.startswith(f"actors.peer.c: {IDLE}")
    assert "name it in trains of an update, in a term or in evaluate, or leave it out" in line


def test_a_peer_that_no_update_trains_is_named() -> None:
    peers = {"peers.a": Own(4), "peers.b": trained(Own(4))}
    only = Update([Term(HardTargets(), student="peers.a"), FROM_PEERS], trains="peers.a")
    (line,) = told(peers, only, evaluate={"a": "peers.a"})
    assert line.startswith("actors.peers.b: no update trains it, so that it keeps the weights with which it starts")
    both = Update([LABELS, FROM_PEERS], trains="peers.*")
    assert told(peers, both, evaluate={"a": "peers.a"}) == []


def test_an_average_that_nothing_reads_takes_no_part_and_its_original_does() -> None:
    actors = {"student": Own(4), "mean": average("student")}
    (line,) = told(actors, Update([Term(HardTargets())]))
    assert line.startswith(f"actors.mean: {IDLE}")
    assert told(actors, Update([Term(HardTargets()), Term(SoftTargets(), teacher="mean")])) == []
    assert told(actors, Update([Term(HardTargets())]), evaluate={"student": "student", "mean": "mean"}) == []


def test_sources_weighers_results_and_controls_count() -> None:
    pair = {"student": Own(4), "other": frozen(Own(4))}
    labels = Term(HardTargets())
    weighed = Term(HardTargets(), item_weight={"entropy": {"of": "other"}})
    assert told(pair, Update([weighed])) == []
    assert told(pair, Update([labels]), evaluate={"student": "student", "both": Ensemble(["student", "other"])}) == []
    of_control = [Stage([Update([Term(HardTargets(), student="other")], trains="other")], steps(1))]
    as_control = {"actors": {"other": Own(4)}, "stages": of_control}
    assert told({"student": Own(4), "other": Own(4)}, Update([labels]), controls={"by_other": as_control}) == []
    generator = torch.nn.Linear(8, 64)
    noise = Generated("generator", noise=8, batch_size=4)
    made = Update([Term(LogitMSE(), teacher="other")], source=noise)
    assert told({**pair, "generator": frozen(generator)}, made) == []
