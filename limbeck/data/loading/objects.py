"""Tables that users have in memory: data frames, Arrow tables and data sets of Hugging Face."""

from __future__ import annotations

from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.arrow_types import with_plain_texts

FORMS = "a pandas or polars data frame, a pyarrow table, or a data set of Hugging Face datasets"


def is_table(data: Any) -> bool:
    """Whether `as_arrow` or `load_items` reads this object."""
    return isinstance(data, pa.Table) or _is_frame(data) or is_hugging_face(data)


def is_hugging_face(data: Any) -> bool:
    """Whether this is a `Dataset` or a `DatasetDict` of `datasets`, streamed or not."""
    return type(data).__module__.split(".")[0] == "datasets"


def _is_frame(data: Any) -> bool:
    return type(data).__module__.split(".")[0] in ("pandas", "polars") and hasattr(data, "columns")


def as_arrow(data: Any) -> pa.Table:
    """The columns of an Arrow table or of a data frame; the index of a data frame is no column.

    Raises:
        ValueError: a column that Arrow cannot hold, such as one of mixed types.
    """
    if isinstance(data, pa.Table):
        return with_plain_texts(data)
    try:
        if type(data).__module__.split(".")[0] == "polars":
            return with_plain_texts((data.collect() if hasattr(data, "collect") else data).to_arrow())
        return with_plain_texts(pa.Table.from_pandas(data, preserve_index=False))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(
            f"this {type(data).__name__} cannot be read as a table: {error}; the cells of a column are numbers, texts, bytes, "
            "or lists of these: paths as texts, images as the bytes of their files"
        ) from error
