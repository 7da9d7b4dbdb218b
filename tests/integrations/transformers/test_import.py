"""The integration without Transformers installed."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

pytest.importorskip("transformers")


def test_a_missing_package_is_named_with_its_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, "limbeck.integrations.transformers")
    with pytest.raises(ImportError, match=r"needs transformers: pip install 'limbeck\[text\]'"):
        import_module("limbeck.integrations.transformers")
