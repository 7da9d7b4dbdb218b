"""Loads data sets by name or path."""

from limbeck.data.loading.load import load_items

__all__ = ["load_items"]
