"""Which plans read no data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from limbeck.core.source import Source
from limbeck.core.terms import Term
from limbeck.data import Dataset, Items
from limbeck.data.sources import Gaussian, Mixture, Pool
from limbeck.engine import Stage, Update, steps
from limbeck.experiment.plan import make_plan
from limbeck.objectives import SoftTargets
from tests.core.networks import student, teacher

NOISE = Gaussian([1, 8, 8], batch_size=8)


def plan(*sources: Source | None) -> Any:
    stages = [Stage([Update([Term(SoftTargets())], source=source)], steps(1)) for source in sources]
    return make_plan(student(), teacher(), stages=stages)


def data() -> Dataset:
    return Dataset(Items.from_tensors(torch.rand(16, 1, 8, 8), torch.arange(16) % 10), 8)


def test_noise_and_what_is_made_of_it_is_no_data() -> None:
    assert plan(NOISE, Pool(NOISE)).without_data
    assert plan(Mixture([NOISE, Pool(NOISE)])).without_data


@pytest.mark.parametrize("source", [lambda: None, data, lambda: Pool(data()), lambda: Mixture([NOISE, data()])])
def test_one_update_that_reads_data_is_enough(source: Any) -> None:
    assert not plan(NOISE, source()).without_data
