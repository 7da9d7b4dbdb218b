"""Two ranks that hold half of every weight each must train what one rank trains with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.terms import Term
from limbeck.core.weighers import HeadConfidence
from limbeck.data import Dataset
from limbeck.data.sources import Generated
from limbeck.engine import Reinitialise, Settings, Stage, Update, steps
from limbeck.engine.sharding_checks import check_sharding
from limbeck.objectives import HardTargets, SoftTargets
from tests import ranks
from tests.engine import sharding_ranks_script as script


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shards")
    script.train(place / "whole", shard=False)
    ranks.run(2, script.__name__, place / "shards")
    return place


def test_the_losses_are_those_of_one_rank(folder: Path) -> None:
    """Of terms on labels, logits, hidden states and a snapshot, in pieces, clipped, and resumed."""
    one, two = (json.loads((folder / name / "values.json").read_text()) for name in ("whole", "shards"))
    assert len(one) == len(two) == script.STEPS // 2 + script.STEPS
    for mine, theirs in zip(one, two, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("state", ["last", "best"])
def test_every_rank_gets_the_whole_weights(folder: Path, state: str) -> None:
    alone = load_file(folder / "whole" / f"{state}-0.safetensors")
    for rank in (0, 1):
        for name, tensor in load_file(folder / "shards" / f"{state}-{rank}.safetensors").items():
            torch.testing.assert_close(tensor, alone[name], rtol=0, atol=1e-5)


def test_checkpoints_hold_whole_weights(folder: Path) -> None:
    saved = load_file(folder / "shards" / "saved.safetensors")
    for name, tensor in load_file(folder / "shards" / "last-0.safetensors").items():
        assert torch.equal(saved[name], tensor), name


def _check(term: Term | None = None, update: dict[str, Any] | None = None, **stage: Any) -> None:
    student, teacher = script.Transformer(4, 1, 0), script.Transformer(4, 1, 1)
    student.variants = {"small": lambda model, inputs, generator: model(inputs)}
    actors = Actors({"student": trained(student), "teacher": frozen(teacher)})
    stages = [Stage([Update([term or Term(HardTargets())], **(update or {}))], steps(1), **stage)]
    check_sharding(actors, stages, Dataset(script.data()), Settings(shard=True))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({"term": Term(SoftTargets(), student="student@small")}, r"variant .* \(student@small\).*read whole models"),
        ({"term": Term(SoftTargets(), item_weight=HeadConfidence("head"))}, "head_confidence"),
        ({"update": {"balance": "gradient_norm"}}, "gradient_norm, .*; choose uncertainty"),
        ({"on_enter": [Reinitialise("student")]}, "'student', which is a module; hand over a function"),
    ],
)
def test_what_does_not_work_is_refused_with_the_remedy(what: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"shard: true does not work with .*{message}"):
        _check(**what)
    _check()


def test_generators_may_be_sharded() -> None:
    _check(update={"source": Generated("student", batch_size=4)})


@pytest.mark.parametrize(("given", "remedy"), [({"compile": True}, "compile: false"), ({"precision": "float16"}, "bfloat16")])
def test_settings_that_exclude_each_other(given: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ValueError, match=f"shard: true does not work with .*{remedy}"):
        Settings(shard=True, **given)
