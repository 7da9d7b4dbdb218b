"""Loads data sets by name or path: files, columns, and formats."""
