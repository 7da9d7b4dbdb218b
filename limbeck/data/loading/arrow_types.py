"""Tests of Arrow types."""

from __future__ import annotations

import pyarrow as pa  # type: ignore[import-untyped]


def with_plain_texts(table: pa.Table) -> pa.Table:
    """The table with strings and bytes in place of views of them and of dictionaries of strings, such as categories of pandas:
    Arrow lacks functions for these."""
    for number, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_binary_view(kind):
            plain = pa.large_binary()
        elif pa.types.is_string_view(kind) or (kind != field.type and is_text(kind)):
            plain = pa.large_string()
        else:
            continue
        table = table.set_column(number, field.with_type(plain), table.column(number).cast(plain))
    return table


def is_text(kind: pa.DataType) -> bool:
    """Whether cells are strings, dictionary-encoded or not."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether cells are bytes."""
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether cells are integers, floats or all empty."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind))


def is_scalar(kind: pa.DataType) -> bool:
    """Whether cells are single numbers, booleans or texts."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return is_number(kind) or is_text(kind) or bool(pa.types.is_boolean(kind))


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
