"""Averages of the terms' values over an interval."""

from __future__ import annotations

import pytest
import torch

from limbeck.engine.term_averages import TermAverages


def test_means_over_an_interval() -> None:
    averages = TermAverages()
    for value in (1.0, 2.0, 6.0):
        averages.add({"loss": torch.tensor(value)})
    averages.add({"rare": torch.tensor(4.0)})
    assert averages.means() == {"loss": 3.0, "rare": 4.0}
    assert averages.means() == {}


def test_batches_of_an_update_count_as_shares() -> None:
    averages = TermAverages()
    for value in (1.0, 3.0, 5.0, 7.0):  # two updates of two batches each, whose values add up
        averages.add({"loss": torch.tensor(value)}, share=0.5)
    assert averages.means() == {"loss": pytest.approx(8.0)}
