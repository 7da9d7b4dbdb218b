"""Lengths and updates of stages."""

from __future__ import annotations

import pytest

from limbeck.core.terms import Term
from limbeck.engine import Update, epochs, steps
from limbeck.objectives import HardTargets
from tests.architecture.conftest import Blobs


def test_lengths_are_counted_in_steps() -> None:
    assert steps(7).in_steps(None) == 7
    assert epochs(2).in_steps(Blobs()) == 32
    assert epochs(0.5).in_steps(Blobs()) == 8
    assert epochs(0.001).in_steps(Blobs()) == 1
    with pytest.raises(ValueError, match="a stage of 2 epochs needs a source with a data set; give its length in steps"):
        epochs(2).in_steps(None)
    for length in (epochs, steps):
        with pytest.raises(ValueError, match="a stage must have a positive length"):
            length(0)


def test_an_update_names_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="Update: repeat is 0; expected 1 or more"):
        Update([Term(HardTargets())], repeat=0)
    with pytest.raises(ValueError, match="Update: it needs at least one term"):
        Update([])
