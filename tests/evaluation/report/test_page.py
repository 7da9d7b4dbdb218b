"""The parts of a page."""

from limbeck.evaluation.report.page import Section, figure, head, key_numbers, mark, stacked, table, write_page

from .html import check


def test_empty_sections_are_left_out_and_the_others_are_in_the_contents(tmp_path):
    sections = [Section("a", "First <i>", "<p>one</p>"), Section("b", "Empty"), None, Section("c", "Last", "<p>two</p>")]
    text = write_page(tmp_path / "page.html", "<b>title", head("x", "a sentence", ["fact"]), sections, "a <file>").read_text()
    page = check(text)
    assert 'href="#a"' in text
    assert 'href="#c"' in text
    assert 'href="#b"' not in text
    assert "First <i>" in page.text
    assert "A sentence." in page.text
    assert "from a <file>" in page.text


def test_lone_surrogates_do_not_break_a_page(tmp_path):
    path = write_page(tmp_path / "page.html", "\ud800", head("x", "y", []), [], "z")
    assert "?" in path.read_text(encoding="utf-8")


def test_tables_have_captions_headers_and_a_column_of_sentences():
    html = table("a & b", ["run", "why"], [("x", "long"), ("y", "longer")], tall=True, text=1)
    assert "<caption>a &amp; b</caption>" in html
    assert html.count('<th scope="row">') == 2
    assert html.count('<td class="text">') == 2
    assert 'class="scroll tall"' in html


def test_figures_have_a_text_alternative_and_the_table_of_their_values():
    html = figure("f", "A title", "<svg></svg>", "caption <b>", "<table></table>", wide=True)
    assert '<svg role="img" aria-labelledby="f-t" aria-describedby="f-s">' in html
    assert "caption &lt;b&gt;" in html
    assert "<table></table>" in html


def test_values_and_marks():
    assert stacked("1.0 % [0.5, 1.5]") == "1.0 %<small>[0.5, 1.5]</small>"
    assert stacked("–") == "–"
    assert mark(True, "met") == '<span class="mark good">✓ met</span>'
    assert key_numbers([]) == ""
    assert "<dd>note</dd>" in key_numbers([("what", "1", "note")])
