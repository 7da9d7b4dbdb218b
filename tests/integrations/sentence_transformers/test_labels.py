"""Labels as embeddings, scores and margins."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("sentence_transformers")

from limbeck.integrations.sentence_transformers.labels import as_embeddings, as_scores


def test_embeddings_of_all_columns_or_of_each() -> None:
    one, each = torch.randn(4, 5), torch.randn(4, 3, 5)
    assert all(torch.equal(found, one) for found in as_embeddings(one, 3, 5, shared=True))
    found = as_embeddings(each, 3, 5, shared=False)
    assert len(found) == 3
    assert torch.equal(found[1], each[:, 1])
    for labels, columns, width in ((one, 3, 5), (each, 2, 5), (each, 3, 4)):
        with pytest.raises(ValueError, match="labels: "):
            as_embeddings(labels, columns, width, shared=False)


def test_margins_become_scores_with_a_positive_of_zero() -> None:
    scores = torch.randn(4, 2)
    assert torch.equal(as_scores(scores, 3), scores)
    margins = torch.tensor([1.0, -2.0])
    assert as_scores(margins, 3).tolist() == [[0.0, -1.0], [0.0, 2.0]]
    with pytest.raises(ValueError, match=r"scores are \[batch, 3\], margins \[batch, 2\]"):
        as_scores(torch.zeros(4, 5), 4)
