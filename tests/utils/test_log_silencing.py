"""Warnings, logs and bars of other libraries are suppressed inside a block only."""

from __future__ import annotations

import logging
import warnings

import pytest

from limbeck.utils.log_silencing import suppress_logs, suppress_transformers_logs


def test_warnings_and_logs_are_suppressed_inside_the_block(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with suppress_logs():
            warnings.warn("inside", stacklevel=1)
            logging.getLogger("library").error("inside")
        warnings.warn("outside", stacklevel=1)
        logging.getLogger("library").error("outside")
    assert [str(one.message) for one in caught] == ["outside"]
    assert caplog.messages == ["outside"]


def test_exceptions_propagate_and_logs_come_back(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError, match="inside"), suppress_logs():
        raise RuntimeError("inside")
    logging.getLogger("library").error("outside")
    assert caplog.messages == ["outside"]


def test_transformers_logs_are_restored() -> None:
    transformers = pytest.importorskip("transformers")
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    with suppress_transformers_logs(transformers):
        assert log.get_verbosity() == log.ERROR
        assert not log.is_progress_bar_enabled()
    assert (log.get_verbosity(), log.is_progress_bar_enabled()) == (before, bars)
