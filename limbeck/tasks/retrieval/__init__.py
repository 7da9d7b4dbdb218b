"""Retrieval across fields: images that are found by texts, for one."""

from limbeck.tasks.retrieval.task import Retrieval

__all__ = ["Retrieval"]
