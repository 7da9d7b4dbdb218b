"""Colours that can be read."""

import pytest

from limbeck.evaluation.report.style import DARK, LIGHT


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_black_on_white_is_the_most_there_is():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", "soft", "good", "bad", "link", "student", "control", "teacher"])
@pytest.mark.parametrize("behind", ["page", "card"])
def test_words_keep_a_contrast_of_four_and_a_half(colours, name, behind):
    assert contrast(colours[name], colours[behind]) >= 4.5


def test_both_schemes_name_the_same_colours():
    assert set(LIGHT) == set(DARK)
