"""Names of a package that are imported on first use."""

from __future__ import annotations

import json

import pytest

from limbeck.utils.lazy_imports import lazy_attributes


def test_names_come_from_their_modules() -> None:
    load = lazy_attributes("os", {"json": ("dumps", "loads"), "math": ("sqrt",)}, modules=("path",))
    assert load("dumps") is json.dumps
    assert load("sqrt")(9) == 3
    assert load("path").join("a", "b") == "a/b"


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="module 'os' has no attribute 'loads'"):
        lazy_attributes("os", {"json": ("dumps",)})("loads")
