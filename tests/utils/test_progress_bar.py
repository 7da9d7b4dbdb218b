"""Items pass through the progress bar unchanged; short work shows none."""

from __future__ import annotations

import pytest

from limbeck.utils.progress_bar import show_progress


@pytest.mark.parametrize("delay", [0.0, 60.0])
def test_all_items_come_in_order(delay: float) -> None:
    assert list(show_progress(iter(range(50)), "counting", 50, delay=delay)) == list(range(50))


def test_short_work_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert list(show_progress([1, 2], "counting", 2)) == [1, 2]
    assert capfd.readouterr() == ("", "")
