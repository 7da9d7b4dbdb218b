"""Whether runs were measured on the same test data: by a fingerprint in their verdicts."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from limbeck.data import Items
from limbeck.data.content_keys import fingerprint
from limbeck.evaluation.verdict import Verdict


def test_data_fingerprint(items: Items, units: int) -> str | None:
    """Returns a hash of test items and of their labels, the same in every order of the items.

    Labels of tokens and answers are left out: their positions depend on the tokenizer. None if what the metric counts (`units`)
    are no items: windows of a long text depend on their length.
    """
    if len(items) != units:
        return None
    order = items.keys.sort(stable=True).indices
    target = items.target
    by_item = isinstance(target, Tensor) and (target.ndim == 1 or (items.has_classes and target.shape[1:] == (items.classes,)))
    return fingerprint({"keys": items.keys[order], "target": target[order] if by_item else None})


def other_test_data(verdicts: Mapping[str, Verdict]) -> list[str]:
    """Returns a line for each run that was measured on other test items than the first: their metrics are not comparable.

    Of runs that have not noted their test data, the number of its items is compared.
    """
    (reference, first), *others = verdicts.items()
    found = []
    for run, verdict in others:
        if first.items is not None and verdict.items is not None and first.items != verdict.items:
            what = f"other test data than {reference} ({verdict.items:,} and {first.items:,} items)"
        elif first.test_data is not None and verdict.test_data is not None and first.test_data != verdict.test_data:
            what = f"other test items than {reference}, or on the same with other labels or columns"
        else:
            continue
        found.append(f"{run}: measured on {what}, so that its figures cannot be compared with those")
    return found
