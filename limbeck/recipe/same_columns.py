"""Data sets of a recipe that name no columns have those of its training data."""

from __future__ import annotations

import warnings
from collections.abc import Callable

from limbeck.data import Items
from limbeck.data.loading.columns import ColumnError
from limbeck.recipe.schema.data import DatasetSpec


def load_same_columns(spec: DatasetSpec, train: DatasetSpec, load: Callable[[DatasetSpec], Items]) -> Items:
    """Loads a data set with the columns of inputs and labels that the training data names, where `spec` names none.

    What it does not have is found by type or name, as without names, and a warning tells of it: a folder of images that are
    evaluated may follow a table that they were trained on.
    """
    taken = _columns(spec, train)
    while True:
        try:
            return load(spec.model_copy(update=taken) if taken else spec)
        except ColumnError as error:
            if error.option not in taken:
                raise
            column = taken.pop(error.option)
            what = f"the {error.option} of the recipe's other data"
            warnings.warn(
                f"{spec.path}: no column {column!r}, {what}; it is found by type or name",
                stacklevel=1,  # of this line: what two data sets of the recipe name alike is said once
            )


def _columns(spec: DatasetSpec, train: DatasetSpec) -> dict[str, str | list[str]]:
    """The columns that a data set takes from the training data, by option."""
    named = {"label": train.label} if spec.label is None else {}
    if spec.input is None and spec.table is None and spec.fields is None:
        named |= {"input": train.input}
    return {option: column for option, column in named.items() if column}
