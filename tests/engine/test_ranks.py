"""Two ranks with half the batch each must train exactly what one rank trains with the whole batch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests import ranks

SCRIPT = "tests.engine.ranks_script"
CASES = ("itemwise", "itemwise-accumulated", "relational", "relational-accumulated", "weighed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("ranks")
    for count in (1, 2):
        ranks.run(count, SCRIPT, place)
    return place


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_give_the_weights_of_one(folder: Path, case: str) -> None:
    alone = load_file(folder / f"{case}-1-0.safetensors")
    for rank in (0, 1):
        together = load_file(folder / f"{case}-2-{rank}.safetensors")
        for name, tensor in alone.items():
            torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-6)


def test_accumulation_gives_the_weights_of_the_whole_batch(folder: Path) -> None:
    whole, pieces = (load_file(folder / f"{name}-2-0.safetensors") for name in ("itemwise", "itemwise-accumulated"))
    for name, tensor in whole.items():
        torch.testing.assert_close(pieces[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_logs_agree(folder: Path, case: str) -> None:
    logs = [[json.loads(line)["values"] for line in (folder / f"{case}-{n}.jsonl").read_text().splitlines()] for n in (1, 2)]
    assert len(logs[0]) == len(logs[1]) == 4
    for one, two in zip(*logs, strict=True):
        assert one == pytest.approx(two, rel=1e-5)
