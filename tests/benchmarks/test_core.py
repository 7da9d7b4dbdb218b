"""What the benchmark of actors, stages and results computes, on a few steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks import core
from benchmarks.turns import Turns, TurnSource
from limbeck import Dataset, load_items, steps
from limbeck.core.source import BatchPosition
from limbeck.data import Items


@pytest.fixture(scope="module")
def data() -> tuple[Items, Items]:
    return load_items("digits", split="train"), load_items("digits", split="test").select(torch.arange(50))


def test_parties_take_turns_by_steps() -> None:
    turns, order = Turns(("a", "b")), []

    def train(party: str, count: int) -> None:
        for step in range(count):
            turns.next(party, step)
            order.append(party)

    turns.run({"a": lambda: train("a", 3), "b": lambda: train("b", 2)})
    assert order == ["a", "b", "a", "b", "a"]
    assert [len(turns.seconds[party]) for party in "ab"] == [2, 1]


def test_an_error_of_a_party_ends_the_turns() -> None:
    turns, done = Turns(("a", "b")), []

    def fail() -> None:
        raise ValueError("a failed")

    with pytest.raises(ValueError, match="a failed"):
        turns.run({"a": fail, "b": lambda: done.append("b")})
    assert done == ["b"]


def test_batches_are_those_of_the_source(data: tuple[Items, Items]) -> None:
    source, turns = Dataset(data[0], 16), Turns(("a",))
    in_turns, seen = TurnSource(source, turns, "a"), []
    position = BatchPosition(3)
    turns.run({"a": lambda: seen.append(in_turns.batch(position))})
    assert torch.equal(seen[0].index, source.batch(position).index)
    assert (in_turns.samples, in_turns.steps_per_epoch) == (source.samples, source.steps_per_epoch)


def test_peers_are_timed_turn_by_turn(data: tuple[Items, Items]) -> None:
    ratios = core.peer_ratios(data[0], steps(4 * core.TURN))
    assert len(ratios) == 2
    assert (ratios > 0).all()


def test_an_ensemble_trusts_random_weights_less(data: tuple[Items, Items]) -> None:
    scores, weight = core.ensemble_seed(*data, 0, teacher_length=steps(40), length=steps(4))
    assert list(scores) == ["confidence", "mean", "mean of logits", "best teacher"]
    assert {len(own) for own in scores.values()} == {50}
    assert weight < 0.25


def test_the_supernet_gains_by_statistics_of_its_own(data: tuple[Items, Items]) -> None:
    scores = core.supernet_scores(*data, [0], steps(40))
    before, after = (sum(scores[name][0]) for name in ("before", "after"))
    assert after > before


def test_adapters_go_on_only_where_terms_share_a_name(data: tuple[Items, Items]) -> None:
    def names(kind: str) -> list[set[str]]:
        return [{term.name for term in stage.terms[1:]} for stage in core.hint_stages(kind, steps(9))]

    carried, anew = names("carried"), names("anew")
    assert carried[0] < carried[1] < carried[2]
    assert anew[0].isdisjoint(anew[1])
    assert names("one shot") == [carried[2]]
    total = [sum(stage.length.count for stage in core.hint_stages(kind, steps(9))) for kind in ("carried", "anew", "one shot")]
    assert total == [9, 9, 9]
    scores = core.stage_scores(*data, 0, teacher_length=steps(4), length=steps(6))
    assert {name: len(own) for name, own in scores.items()} == {"carried": 50, "anew": 50, "one shot": 50}


def test_figures_are_recorded_with_bar_and_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[Any, ...]] = []
    monkeypatch.setattr(core, "record", lambda *row: rows.append(row))
    core.report("peers", "a ÷ b", "≤ 1.05", 1.0, (0.9, 1.1), True, "digits", "a note")
    assert rows == [
        ("core", "a ÷ b", "≤ 1.05", 1.0, (0.9, 1.1), True, "python -m benchmarks.core peers", "digits", [0], "a note")
    ]
