"""Positions of batches: parts of a global batch, and generators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from limbeck.core.batch import Batch
from limbeck.core.source import BatchPosition, Source, find_source, named_sources, registry, require_counts, source


@given(st.integers(1, 6), st.integers(0, 5))
def test_parts_make_up_the_global_batch(parts: int, size: int) -> None:
    rows = torch.arange(parts * size)
    pieces = [BatchPosition(0, part=part, parts=parts).part_of(rows) for part in range(parts)]
    assert torch.equal(torch.cat(pieces), rows)
    assert {len(piece) for piece in pieces} == {size}


def test_batches_that_cannot_be_cut_are_refused() -> None:
    with pytest.raises(ValueError, match=r"8 items cannot be cut into 3 equal parts .*multiple of 3"):
        BatchPosition(0, parts=3).part_of(torch.zeros(8))


def test_counts_are_at_least_one_and_batches_no_slip_of_the_pen() -> None:
    require_counts("noise", batch_size=1, rounds=None, steps=10**9)
    with pytest.raises(ValueError, match="noise: rounds is 0; expected 1 or more"):
        require_counts("noise", batch_size=8, rounds=0)
    for spec in ({"gaussian": {"shape": [4]}}, {"generated": {"actor": "g"}}, {"dataset": {"path": "digits"}}):
        ((kind, arguments),) = spec.items()
        with pytest.raises(ValueError, match="batch_size is 100,000,000; expected at most 1,000,000"):
            source({kind: {**arguments, "batch_size": 10**8}})


def test_generators_depend_on_seed_step_and_stream_and_not_on_the_part() -> None:
    def draw(position: BatchPosition, stream: str = "noise") -> float:
        return float(torch.rand(1, dtype=torch.float64, generator=position.random_generator(stream)))

    base = draw(BatchPosition(3, seed=5))
    assert draw(BatchPosition(3, seed=5, part=1, parts=2)) == base
    others = [draw(BatchPosition(4, seed=5)), draw(BatchPosition(3, seed=6)), draw(BatchPosition(3, seed=5), "samples")]
    assert len({base, *others}) == 4


class Reads(Source):
    def __init__(self, of: str | None = None) -> None:
        self.of = of
        self.read: Source | None = None

    def connect(self, sources):
        self.read = None if self.of is None else find_source(self.of, sources)

    def batch(self, position):
        return Batch({"default": torch.zeros(1)})


@pytest.fixture
def reads(monkeypatch):
    monkeypatch.setattr(registry, "_parts", {**registry._parts, "reads": Reads, "number": lambda: 3})


def test_names_and_their_arguments_become_sources(reads) -> None:
    built = Reads()
    assert source(built) is built
    assert source("reads").of is None
    assert source({"reads": {"of": "a"}}).of == "a"
    assert source({"reads": None}).of is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("raeds", "unknown source 'raeds'; nearest: reads"),
        ({"reads": {"off": 1}}, "source 'reads': .*'off'"),
        ({"reads": 3}, "its arguments are 3; expected a mapping"),
        ({"reads": {}, "number": {}}, "a source is one name with its arguments"),
        (7, "a source is one name"),
        ("number", "source 'number' is int; expected a subclass"),
    ],
)
def test_what_is_no_source_is_refused(reads, value, message) -> None:
    with pytest.raises(ValueError, match=message):
        source(value)


def test_named_sources_read_each_other(reads) -> None:
    built = named_sources({"first": {"reads": {"of": "second"}}, "second": "reads"})
    assert built["first"].read is built["second"]
    with pytest.raises(ValueError, match=r"sources\.first: unknown source 'secnod'; nearest: second"):
        named_sources({"first": {"reads": {"of": "secnod"}}, "second": "reads"})
    with pytest.raises(ValueError, match=r"sources\.first: source 'reads': .*'off'"):
        named_sources({"first": {"reads": {"off": 1}}})


def test_a_source_without_state_starts_anew_as_a_copy(reads) -> None:
    built = Reads("a")
    again = built.fresh()
    assert again is not built
    assert again.of == "a"
    assert built.state_dict() == {}
    assert built.actors == ()
    assert not built.has_epochs
