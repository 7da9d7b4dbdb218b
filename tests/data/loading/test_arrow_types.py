"""Tests of Arrow types."""

from __future__ import annotations

import pyarrow as pa
import pytest

from limbeck.data.loading.arrow_types import is_binary, is_list, is_number, is_number_array, is_text

CHECKS = (is_text, is_binary, is_number, is_list, is_number_array)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (pa.string(), "is_text"),
        (pa.large_string(), "is_text"),
        (pa.dictionary(pa.int32(), pa.string()), "is_text"),
        (pa.binary(), "is_binary"),
        (pa.large_binary(), "is_binary"),
        (pa.int8(), "is_number is_number_array"),
        (pa.float16(), "is_number is_number_array"),
        (pa.null(), "is_number"),
        (pa.bool_(), ""),
        (pa.list_(pa.float32()), "is_list is_number_array"),
        (pa.list_(pa.large_list(pa.uint8())), "is_list is_number_array"),
        (pa.list_(pa.float64(), 3), "is_list is_number_array"),
        (pa.list_(pa.string()), "is_list"),
        (pa.struct({"bytes": pa.binary()}), ""),
        (pa.timestamp("s"), ""),
    ],
    ids=str,
)
def test_types(kind: pa.DataType, expected: str) -> None:
    assert [check.__name__ for check in CHECKS if check(kind)] == expected.split()


class Extension(pa.ExtensionType):  # type: ignore[misc]
    def __arrow_ext_serialize__(self) -> bytes:
        return b""


def test_extension_types_are_arrays_by_their_storage() -> None:
    numbers, texts = (Extension(pa.list_(kind), "limbeck.test") for kind in (pa.float32(), pa.string()))
    assert is_number_array(pa.list_(numbers))
    assert not is_number_array(texts)
