"""A federation on independent labels: lying clients are told apart, and methods that read a softmax are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flwr")

import numpy as np
import pandas as pd
from flwr.app import Message

from limbeck.integrations.flower.records import from_record, to_record
from limbeck.recipe import RecipeError
from limbeck.recipe.federation import Federation
from tests.integrations.flower.federations import content, disturbed, trained

LABELS = ["p", "q", "r"]
LIAR = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("labels")
    for seed, (name, count) in enumerate({"train": 400, "validation": 120, "test": 60}.items()):
        inputs = np.random.default_rng(seed).normal(size=(count, 4))
        labels = (inputs[:, :3] > 0).astype(int)
        columns = dict(zip("abcd", inputs.T, strict=True)) | dict(zip(LABELS, labels.T, strict=True))
        pd.DataFrame(columns).to_csv(path / f"{name}.csv", index=False)
    return path


def recipe(folder: Path, method: Any) -> Federation:
    data = {name: {"path": str(folder / f"{name}.csv"), "label": LABELS} for name in ("train", "validation", "test")}
    student = {"model": "mlp", "args": {"inputs": 4, "hidden": [8]}}
    training = content()["training"] | {"epochs": 4}
    own = {"_data": data, "_task": "multilabel_classification", "_student": student, "_training": training}
    return Federation.from_dict(content(method, longest_update=None, clients=4, **own))


def lie(reply: Message, _: int) -> Message:
    """One client's outputs are those of the opposite labels."""
    if reply.metadata.src_node_id == LIAR:
        arrays = from_record(reply.content.array_records["arrays"])
        last = [name for name in arrays if name == "logits" or name.startswith("linear.")]
        reply.content["arrays"] = to_record(arrays | {name: -arrays[name] for name in last})
    return reply


@pytest.mark.parametrize("method", [{"feddf": {"steps": 4, "batch_size": 32}}, {"fedmd": {"steps": 4}}])
def test_a_client_with_opposite_labels_is_named(method: dict[str, Any], folder: Path) -> None:
    strategy, _ = trained(recipe(folder, method), grid=disturbed(lie))
    last = strategy.rounds[-1]
    assert set(last.left_out) == {str(LIAR)}
    assert last.used == 3


@pytest.mark.parametrize("method", ["ds_fl", {"feddf": {"combine": "probabilities"}}])
def test_methods_that_average_a_softmax_are_refused(method: Any, folder: Path) -> None:
    message = r"federated\.method: .* averages the softmax of outputs.* multilabel_classification does not have; use fedmd"
    with pytest.raises(RecipeError, match=message):
        recipe(folder, method)
