"""Two processes with half a batch each, under DDP, train the weights of one process with the whole batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("sentence_transformers")

from safetensors.torch import load_file

from tests import ranks

SCRIPT = "tests.integrations.ranks_script"
CASES = ("everywhere", "accumulated", "layer", "writing")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    for count in (1, 2):
        ranks.run(count, SCRIPT, place)
    return place


@pytest.mark.parametrize("case", [*CASES, "sentences"])
def test_two_processes_give_the_weights_of_one(folder: Path, case: str) -> None:
    alone = load_file(folder / f"{case}-1-0.safetensors")
    for rank in (0, 1):
        together = load_file(folder / f"{case}-2-{rank}.safetensors")
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_logs_agree(folder: Path, case: str) -> None:
    one, two = (json.loads((folder / f"{case}-{n}-0.json").read_text()) for n in (1, 2))
    assert len(one) == len(two) == 3
    for mine, theirs in zip(one, two, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-3)
