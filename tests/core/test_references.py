"""References: text that names the signals of a run."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.errors import TapError
from limbeck.core.references import Reference
from limbeck.utils.registry import UnknownNameError


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def make_actors() -> Actors:
    return Actors(
        {"student": trained(net()), "teacher": frozen(net(1)), "peers.0": trained(net(2)), "peers.1": trained(net(3))}
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("student", Reference("student")),
        ("", Reference("student")),
        ("teacher", Reference("teacher")),
        ("layer2", Reference("student", tap="layer2")),
        ("layer2.0.conv1", Reference("student", tap="layer2.0.conv1")),
        ("0", Reference("student", tap="0")),
        ("layer2#weak", Reference("student", tap="layer2", view="weak")),
        ("#weak", Reference("student", view="weak")),
        ("@exit2", Reference("student", "exit2")),
        ("student@exit2:layer1#weak", Reference("student", "exit2", "layer1", "weak")),
        ("input(layer3)", Reference("student", tap="input(layer3)")),
        ("input(layer3.0)#weak", Reference("student", tap="input(layer3.0)", view="weak")),
        ("teacher:input(fc)", Reference("teacher", tap="input(fc)")),
        ("peers.*:layer3", Reference("peers.*", tap="layer3")),
        ("peers.0", Reference("peers.0")),
        (":peers.0", Reference("student", tap="peers.0")),  # a tap with an actor's name
        ("teacher:student", Reference("teacher", tap="student")),
    ],
)
def test_references_are_read(text, expected):
    assert Reference.parse(text, actors=make_actors()) == expected


def test_text_that_is_no_reference_is_refused():
    for text in ("a b", "student@", "student:", "student#a#b"):
        with pytest.raises(ValueError, match=r"expected actor\[@variant\]\[:tap\]\[#view\]"):
            Reference.parse(text, actors=make_actors())


names = st.from_regex(r"[a-z0-9_\-]{1,6}(\.[a-z0-9_]{1,3})?", fullmatch=True)
taps = names | names.map(lambda name: f"input({name})")


@given(actor=st.sampled_from(list(make_actors())) | st.just("peers.*"), variant=st.none() | names, tap=taps, view=names)
def test_references_are_written_as_they_are_read(actor, variant, tap, view):
    for reference in (
        Reference(actor, variant, tap, view),
        Reference(actor, variant, view=view),
        Reference(actor, variant, tap),
    ):
        assert Reference.parse(str(reference), actors=make_actors()) == reference


def test_unknown_variants_and_taps_are_refused():
    actors = Actors({"student": trained(net(), variants={"small": lambda m, x, g: m(x)})})
    Reference("student", "small", "0").check(actors)
    with pytest.raises(UnknownNameError, match="unknown variant of 'student' 'smal'; nearest: small"):
        Reference("student", "smal").check(actors)
    with pytest.raises(TapError, match="unknown tap '7'"):
        Reference("student", tap="7").check(actors)
