"""Tests of Arrow types."""

from __future__ import annotations

import pyarrow as pa  # type: ignore[import-untyped]


def is_text(kind: pa.DataType) -> bool:
    """Whether cells are strings, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether cells are bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether cells are integers, floats or all empty."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def is_list(kind: pa.DataType) -> bool:
    """Whether cells are lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def is_number_array(kind: pa.DataType) -> bool:
    """Whether cells are numbers, or lists of them nested to any depth."""
    while True:
        if isinstance(kind, pa.ExtensionType):
            kind = kind.storage_type
        if not is_list(kind):
            break
        kind = kind.value_type
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
