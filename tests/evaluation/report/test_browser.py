"""The pages in a browser: nothing complained about, everything drawn, nothing wider than the screen."""

import pytest

from limbeck.evaluation.report import write_comparison, write_report, write_side_by_side

from . import made
from .browser import CHROMIUM, Browser
from .test_methods import compared

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

DRAWN = """[...document.querySelectorAll('figure svg, img')].map(one => {
  const box = one.getBoundingClientRect(); return [one.closest('figure, li').id || one.alt, box.width, box.height] })"""
OUTSIDE = """[...document.querySelectorAll('main *, header *')].filter(one => !one.closest('.scroll, pre, svg')
  && one.getBoundingClientRect().right > innerWidth + 1).map(one => one.outerHTML.slice(0, 90))"""
CLIPPED = """[...document.querySelectorAll('figure svg')].flatMap(svg => { const frame = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(text => { const box = text.getBoundingClientRect();
    return Math.max(frame.left - box.left, box.right - frame.right, frame.top - box.top, box.bottom - frame.bottom) > 2 })
  .map(text => text.textContent) })"""
OVERLAP = """[...document.querySelectorAll('figure svg')].flatMap(svg => { const texts = [...svg.querySelectorAll('text')]
  .map(text => [text.textContent, text.getBoundingClientRect()]).filter(([words]) => words.trim());
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([b, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 3 && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 5)
    .map(([b]) => [svg.closest('figure').id, a, b])) })"""
FOCUS = """(() => { const found = []; for (const one of document.querySelectorAll('a, summary, [tabindex]'))
  { one.focus(); found.push(document.activeElement === one) } return found })()"""


SEVERAL = {"peers": made.peers, "exits": made.exits, "controlled": made.controlled}


@pytest.fixture(scope="module")
def browser():
    browser = Browser()
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory, rich):
    folder = tmp_path_factory.mktemp("pages")
    run, texts = made.write(folder / "run", rich), made.write(folder / "texts", made.verdict(5, made.texts(600)))
    compared(**{f"method{place}": 0.6 + 0.01 * place for place in range(20)}, control=0.7).save(folder / "comparison.json")
    both = {"run": rich, "another": rich}
    peers, exits, controlled = (made.write(folder / name, make()) for name, make in SEVERAL.items())
    with_peers = {"a long name of a run": made.peers(), "run": made.controlled()}
    return {
        "run": write_report(run),
        "texts": write_report(texts),
        "comparison": write_comparison(folder),
        "side": write_side_by_side(both, {"run": run, "another": texts}, folder / "side.html"),
        "peers": write_report(peers),
        "exits": write_report(exits),
        "controlled": write_report(controlled),
        "side_of_peers": write_side_by_side(
            with_peers, dict(zip(with_peers, (peers, controlled), strict=True)), folder / "p.html"
        ),
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
@pytest.mark.parametrize("name", ["run", "texts", "comparison", "side", "side_of_peers", *SEVERAL])
def test_a_page_is_drawn_whole(browser, pages, name, width, dark):
    browser.open(pages[name], width=width, dark=dark)
    assert browser.ask("innerWidth") == width
    assert browser.complaints == []
    assert browser.requests == [pages[name].resolve().as_uri()]
    drawn = browser.ask(DRAWN)
    assert drawn
    assert all(wide > 40 and tall > 40 for _, wide, tall in drawn), drawn
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask(OUTSIDE) == []
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == (
        "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)"
    )


@pytest.mark.parametrize("name", ["run", "comparison", "side", "side_of_peers", *SEVERAL])
def test_words_in_drawings_are_neither_cut_nor_on_top_of_each_other(browser, pages, name):
    browser.open(pages[name], width=1400)
    assert browser.ask(CLIPPED) == []
    assert browser.ask(OVERLAP) == []


def test_everything_can_be_reached_by_keyboard(browser, pages):
    browser.open(pages["run"], width=360)
    browser.ask("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert browser.ask("document.documentElement.scrollWidth") <= 360
    reached = browser.ask(FOCUS)
    assert len(reached) > 20
    assert all(reached)
    browser.ask("document.querySelector('.skip').focus()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert browser.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_a_printed_page_is_light_and_not_clipped(browser, pages, tmp_path):
    browser.open(pages["run"], width=794, dark=True, media="print")
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.ask("[...document.querySelectorAll('.scroll')].filter(one => one.scrollWidth > innerWidth).length") == 0
    assert browser.ask("[...document.querySelectorAll('.scroll')].every(one => getComputedStyle(one).overflowX === 'visible')")
    assert browser.pdf(tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_no_script_of_a_file_runs(browser, pages):
    browser.open(pages["run"])
    assert browser.ask("document.scripts.length") == 0
    assert (
        browser.ask(
            "[...document.querySelectorAll('*')].some(one => one.getAttributeNames().some(name => name.startsWith('on')))"
        )
        is False
    )
