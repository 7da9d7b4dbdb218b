"""Numbers as text."""

import pytest

from limbeck.evaluation import number_format


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (number_format.count(999), "999"),
        (number_format.count(11_173_962), "11.2 M"),
        (number_format.count(999_999), "1.00 M"),
        (number_format.size(44_700), "44.7 kB"),
        (number_format.milliseconds(0.1234), "0.12 ms"),
        (number_format.milliseconds(123.4), "123 ms"),
        (number_format.milliseconds(None), "–"),
        (number_format.number(-0.04, 1), "0.0"),
        (number_format.number(1.26, 1, sign=True), "+1.3"),
        (number_format.measured(0.71239, (0.70, 0.72)), "71.24 % [70.00, 72.00]"),
        (number_format.measured(0.71239, as_percent=False), "0.7124"),
    ],
)
def test_numbers_in_words(made, text):
    assert made == text
