"""Silence the warnings, logs and progress bars of other libraries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def suppress_logs() -> Iterator[None]:
    """Suppress warnings and log messages inside the block. Exceptions still propagate."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def suppress_transformers_logs(transformers: ModuleType) -> Iterator[None]:
    """Suppress the log messages and progress bars of Transformers inside the block; they would break up our own bars."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
