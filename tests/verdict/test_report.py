"""The page: whole, self-contained, and inert whatever the files hold."""

import json
import re
from html.parser import HTMLParser

import pytest

from limbeck.verdict import Export, Latency, write_report
from limbeck.verdict.curves import draw, read_curves

from .conftest import make


def line(**content):
    return json.dumps(content) + "\n"


@pytest.fixture
def run(tmp_path):
    make(targets={"gain": 1, "speedup": 100}, name="<img src=x onerror=alert(2)>").save(tmp_path / "verdict.json")
    (tmp_path / "recipe.yaml").write_text("name: x\nnote: '</pre><script>alert(3)</script>'\n")
    log = "".join(
        line(seed=seed, arm=arm, stage=0, round=round, epoch=0.1, lr=0.1, values={"loss": 1 / (round + 1), "<b>$x_": 0.5})
        for arm in ("student", "alone")
        for seed in (0, 1)
        for round in range(0, 50, 10)
    )
    log += line(seed=0, arm="student", round=50, validation={"accuracy": 0.7})
    (tmp_path / "log.jsonl").write_text(log + '{"seed": 0, "arm": "stud')
    return tmp_path


class Tags(HTMLParser):
    """Collects tags and attributes, and checks that tags close in order."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.open = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_inert(run):
    page = write_report(run).read_text()
    parser = Tags()
    parser.feed(page)
    assert parser.open == []
    assert not parser.tags & {"script", "img", "link", "iframe", "b", "object"}
    assert not {name for name in parser.attributes if name.startswith("on")} | (parser.attributes & {"src"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    addresses = set(re.findall(r"https?://[^\"' <]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names of XML dialects, not links
    assert not re.findall(r"url\((?!#)|@import", page)


def test_the_page_says_what_the_verdict_says(run):
    page = write_report(run).read_text()
    for part in (
        "Kept 88.9 % of the teacher".lower(),
        "Targets missed",
        "≥ 100",
        "80.00 % [",
        "a &amp; b",
        "&lt;b&gt;$x_",
        "torch:",
    ):
        assert part in page or part in page.lower()
    assert page.count("<svg") == 3  # accuracy, loss and the hostile term
    assert "prefers-color-scheme: dark" in page


def test_a_verdict_alone_makes_a_page(tmp_path):
    make(alone=None, teacher=None, profiles={}).save(tmp_path / "verdict.json")
    page = write_report(tmp_path).read_text()
    assert "<svg" not in page
    assert "no control" in page


def test_exports_stand_in_the_page(tmp_path):
    file = Export(format="onnx", precision="int8", path="exports/<b>.onnx", bytes=23_000, latency_ms=Latency(0.8, 1.1))
    make(exports=[file]).save(tmp_path / "verdict.json")
    page = write_report(tmp_path).read_text()
    assert "exports/&lt;b&gt;.onnx" in page
    assert "23.0 kB" in page


def test_without_a_verdict_there_is_no_page(tmp_path):
    with pytest.raises(FileNotFoundError, match="no verdict"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_curves_of_stages_resumed_runs_and_broken_lines(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(
        line(seed=0, arm="student", stage=0, round=0, values={"loss": 3, "note": "text", "flag": True})
        + line(seed=0, arm="student", stage=0, round=10, values={"loss": 2})
        + line(seed=0, arm="student", stage=0, round=10, values={"loss": 2.5})  # logged again after a resumption
        + line(seed=0, arm="student", round=10, validation={"accuracy": 0.4})
        + line(seed=0, arm="student", stage=1, round=5, values={"loss": 1})
        + line(seed=0, arm="student", round=6, validation={"accuracy": 0.5})
        + line(event="saved")
        + "not json\n[1, 2]\n\n"
        + '{"seed": 0, "arm": "student", "sta'
    )
    training, validation = read_curves(log)
    assert training == {"loss": {("student", 0): {0: 3.0, 10: 2.5, 15: 1.0}}}
    assert validation == {"accuracy": {("student", 0): {10: 0.4, 16: 0.5}}}


def test_drawings_stay_small_and_take_the_colour_of_the_page():
    curve = {update: float("nan") if update == 7 else 1 / (update + 1) for update in range(20_000)}
    svg = draw({("student", 0): curve, ("alone", 0): {3: 1.0}, ("someone", 0): {3: 1.0, 4: 2.0}})
    assert svg.startswith("<svg")
    assert len(svg) < 60_000
    assert "currentColor" in svg
    assert "#010203" not in svg
    assert draw({("student", 0): {0: float("nan")}}).startswith("<svg")
