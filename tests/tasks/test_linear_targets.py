"""Labels for embeddings, through a linear layer of the objective."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from limbeck.core.criterion import Criterion
from limbeck.core.terms import Term
from limbeck.tasks.linear_targets import LinearTargets
from tests.tasks.sentence_embeddings.clusters import drawn


def test_a_control_learns_through_a_layer_of_its_own() -> None:
    vectors, labels = drawn(7, 12)
    labels[5] = -100
    objective = LinearTargets(classes=3)
    assert not objective.built
    loss = objective(vectors, target=labels)
    assert objective.linear is not None
    expected = nn.functional.cross_entropy(objective.linear(vectors), labels, reduction="none")
    torch.testing.assert_close(loss, expected)
    assert loss[5] == 0
    fresh = LinearTargets(classes=3)
    fresh.load_state_dict(objective.state_dict())
    torch.testing.assert_close(fresh(vectors, target=labels), loss)
    for wrong, message in ((torch.full_like(labels, 3), "label 3 is out of range for 3 classes"), (None, "needs labels")):
        with pytest.raises(ValueError, match=f"linear_targets: {message}"):
            objective(vectors, target=wrong)
    with pytest.raises(ValueError, match="classes is 1"):
        LinearTargets(classes=1)


def test_the_layer_is_built_in_the_dry_run_and_learns_beside_the_student() -> None:
    vectors, labels = drawn(8, 64)
    student = nn.Linear(6, 4)
    criterion = Criterion([Term(LinearTargets(classes=3))], student, example=(vectors, labels))
    assert [tuple(parameter.shape) for parameter in criterion.parameters()] == [(3, 4), (3,)]
    optimizer = torch.optim.Adam([*student.parameters(), *criterion.parameters()], lr=0.05)
    before = float(criterion((vectors, labels))["loss"].detach())
    for _ in range(60):
        loss = criterion((vectors, labels))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < before / 2
