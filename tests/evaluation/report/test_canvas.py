"""The drawing board: colours of the page, ids of one's own, labels that keep their distance."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.evaluation import number_format
from limbeck.evaluation.report.canvas import WIDTH, Canvas, apart, cut, log_x, prefix_ids, strip_zeros, widest


def test_a_drawing_takes_the_pages_colours_and_keeps_its_ids_apart():
    canvas = Canvas()
    canvas.mark("student", 1, 1)
    canvas.mark("control", 2, 2)
    svg = canvas.svg("here")
    assert svg.startswith('<svg class="plot"')
    assert "#01020" not in svg
    assert {"currentColor", "var(--student, #a94f08)"} <= set(re.findall(r"currentColor|var\(--student, #\w+\)", svg))
    assert all(found.startswith("here-") for found in re.findall(r'\bid="([^"]+)"', svg))
    assert all(found.startswith("here-") for found in re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    assert "<style" not in svg
    assert "<metadata" not in svg


def test_a_drawing_is_short_and_names_that_look_like_markup_stay():
    canvas = Canvas()
    canvas.mark("student", 1, 1)
    canvas.text(0, 0, 'an id="mark" d="M 1 2" 3.14159 <g> </g>')
    svg = canvas.svg("x")
    assert 'an id="mark" d="M 1 2" 3.14159 &lt;g&gt; &lt;/g&gt;</text>' in svg
    assert "<g>" not in svg
    assert "rotate(-0" not in svg
    assert svg.count("<g ") == svg.count("</g>")
    ElementTree.fromstring(svg)
    ids, used = (set(re.findall(found, svg)) for found in (r'\bid="(x-[^"]+)"', r'(?:href="#|url\(#)([^")]+)'))
    assert ids == used
    paths = re.findall(r'<path[^>]* d="([^"]*)"', svg)
    assert paths
    assert not any(re.search(r"\s$|\n|\.\d{3}|[A-Z] ", path) for path in paths)


def test_names_are_names_and_no_formulas_or_tags():
    canvas = Canvas()
    canvas.text(0, 0, "</text><script>$x_1$&")
    canvas.rows(["$y^2$ <b>"])
    canvas.label("x", "$z$")
    svg = canvas.svg("x")
    assert "&lt;script&gt;$x_1$&amp;" in svg
    assert "$y^2$ &lt;b&gt;" in svg
    assert "$z$" in svg


@given(wanted=st.lists(st.floats(0, 1), max_size=8), gap=st.floats(0.01, 0.1))
def test_labels_keep_their_distance_and_their_order(wanted, gap):
    places = apart(sorted(wanted), gap)
    assert all(after - before >= gap - 1e-9 for before, after in pairwise(places))
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_labels_that_do_not_touch_stay_where_they_belong():
    assert apart([0.1, 0.5, 0.9], 0.2) == pytest.approx([0.1, 0.5, 0.9])
    assert apart([0.5, 0.5], 0.2) == pytest.approx([0.5, 0.7])
    assert apart([1.0, 1.0], 0.2) == pytest.approx([0.8, 1.0])
    assert apart([], 0.2) == []


@pytest.mark.parametrize(
    ("text", "shown"), [("100.00 k", "100 k"), ("1.50 MB", "1.5 MB"), ("10", "10"), ("200", "200"), ("0.30", "0.3")]
)
def test_ticks_are_round_numbers(text, shown):
    assert strip_zeros(text) == shown


@pytest.mark.parametrize("reach", [3, 50, 10_000])
def test_a_logarithmic_axis_has_ticks(reach):
    canvas = Canvas()
    canvas.axes.set_xlim(1000, 1000 * reach)
    log_x(canvas)
    words = re.findall(r">([\d.]+ ?[kM]?)</text>", canvas.svg("x"))
    assert len([word for word in words if "k" in word or "M" in word]) >= 2


def test_ids_and_what_refers_to_them_are_renamed_together():
    assert (
        prefix_ids('<a id="p"/><use xlink:href="#p" clip-path="url(#p)"/>', "n")
        == '<a id="n-p"/><use xlink:href="#n-p" clip-path="url(#n-p)"/>'
    )


@pytest.mark.parametrize("ratio", [1.2, 1.6, 2.5, 4.5])
def test_ticks_of_sizes_that_lie_close_do_not_touch(ratio):
    canvas = Canvas()
    canvas.axes.set_xlim(86_500, 86_500 * ratio)
    log_x(canvas, number_format.size)
    canvas.svg("a")
    low, high = canvas.axes.get_xlim()
    ticks = [tick for tick in canvas.axes.xaxis.get_majorticklocs() if low <= tick <= high]
    assert 1 <= len(ticks) <= 4
    assert all(not text.get_text() for text in canvas.axes.get_xticklabels(minor=True))


def test_names_are_cut_in_one_line_and_wide_characters_count_twice():
    assert cut("line\nbreak", 20) == "line break"
    assert cut("a long name", 6) == "a lon…"
    assert cut("日本語のクラス", 14) == "日本語のクラス"
    assert cut("日本語のクラス", 8) == "日本語…"


def test_margins_hold_the_widest_name():
    assert widest(["iiiiii"]) < widest(["aaaaaa"]) < widest(["WWWWWW"]) < widest(["a", "日本語のクラス"])
    assert widest(["W" * 100]) < WIDTH
    assert widest([""]) == 0
