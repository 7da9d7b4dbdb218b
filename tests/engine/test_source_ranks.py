"""Sources with a state give two ranks the batches of one, and keep the same items on both."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import ranks


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    for count in (1, 2):
        ranks.run(count, "tests.engine.sources_ranks_script", place)
    return place


@pytest.mark.parametrize("case", ["bank", "bank-pieces", "samples", "samples-pieces"])
def test_two_ranks_train_and_remember_as_one(folder: Path, case: str) -> None:
    alone = load_file(folder / f"{case.removesuffix('-pieces')}-1-0.safetensors")
    for rank in (0, 1):
        together = load_file(folder / f"{case}-2-{rank}.safetensors")
        assert set(together) == set(alone)
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-5)
