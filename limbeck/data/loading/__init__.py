"""Loads data sets by name or path."""

from limbeck.data.loading.labels import LabelReader, Labels, class_labels, number_labels
from limbeck.data.loading.load import load_items
from limbeck.data.loading.multi_hot import multi_hot_labels

__all__ = ["LabelReader", "Labels", "class_labels", "load_items", "multi_hot_labels", "number_labels"]
