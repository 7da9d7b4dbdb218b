"""Loads data sets by name or path."""

from limbeck.data.loading.labels import LabelReader, Labels, class_labels, number_labels
from limbeck.data.loading.load import load_items

__all__ = ["LabelReader", "Labels", "class_labels", "load_items", "number_labels"]
