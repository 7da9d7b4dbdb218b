"""`limbeck report`, as it is typed; and a real run, small as it is, from training to its page."""

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import limbeck
from limbeck import Training
from limbeck.cli import USER_ERRORS, app
from limbeck.engine import Settings, steps
from tests.cli.conftest import Limbeck
from tests.evaluation.conftest import make
from tests.evaluation.report import made
from tests.evaluation.report.html import check

QUICK = Training(
    length=steps(8), batch_size=32, settings=Settings(progress=False, trackers=(), checkpoint_every=8, log_every=4)
)


@pytest.fixture
def run(tmp_path):
    return made.write(tmp_path / "run", made.verdict())


def typed(*words):
    return CliRunner().invoke(app, ["report", *map(str, words)])


def test_one_run_several_runs_and_a_comparison(run, tmp_path):
    assert typed(run).output.strip().endswith("report.html")
    made.write(tmp_path / "other", make(student=0.9, classes=made.HOSTILE[:3]))
    made.write(tmp_path / "third", make(classes=made.HOSTILE[:3]))
    assert typed(tmp_path / "other", tmp_path / "third").exit_code == 0
    check((tmp_path / "comparison-report.html").read_text())
    assert typed(tmp_path / "other", tmp_path / "third", "--out", tmp_path / "mine.html").exit_code == 0
    assert (tmp_path / "mine.html").exists()
    assert typed(run, run).output.strip() == str(run / "report.html")  # one run, named twice


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no recipe.yaml"),
        ({"recipe.yaml": "name: x\n"}, "no verdict yet; finish it with: limbeck distill"),
        ({"recipe.yaml": "variants: {}\n"}, "limbeck compare"),
        ({"verdict.json": "{"}, "not JSON"),
        ({"verdict.json": "{}"}, "not a verdict"),
        ({"verdict.json": '{"format": 9, "arms": {}}'}, "verdict of format 9; this limbeck reads 2: upgrade"),
    ],
)
def test_what_is_no_run_is_refused_with_the_remedy(tmp_path, files, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    result = typed(tmp_path)
    assert isinstance(result.exception, USER_ERRORS)
    assert words in str(result.exception)


def test_runs_of_different_classes_are_refused(run, tmp_path):
    made.write(tmp_path / "other", make())
    assert "cannot be compared: classes differ" in str(typed(run, tmp_path / "other").exception)


class Own(nn.Module):
    """A module that Limbeck has not built."""

    def __init__(self, width):
        super().__init__()
        self.body, self.head = nn.Linear(64, width), nn.Linear(width, 10)

    def forward(self, x):
        return self.head(torch.relu(self.body(x.flatten(1).float())))


def test_a_run_from_training_to_its_page(tmp_path):
    train, test = (limbeck.load_items("digits", split=split) for split in ("train", "test"))
    outcome = limbeck.distill(Own(32), lambda: Own(4), train, test, training=QUICK, seeds=(3,), folder=tmp_path / "run")
    verdict = outcome.verdict
    assert verdict.items == len(test)
    assert [edge.name for edge in verdict.term_graph.edges] == ["hard_targets", "soft_targets"]
    assert [part.path for part in verdict.term_graph.student.modules] == ["body", "head", "logits"]
    assert verdict.result.changes["control"].total == len(test)
    assert verdict.result.examples
    for example in verdict.result.examples:
        assert example.label == int(test.target[example.item])
        assert example.image.startswith("data:image/png")
    assert (tmp_path / "run" / "verdict.json").stat().st_size < 100_000
    page = check((tmp_path / "run" / "report.html").read_text())
    assert "recipe.yaml is missing" in page.text
    assert typed(tmp_path / "run").exit_code == 0


def test_a_full_disk_is_named_and_the_page_stays(limbeck: Limbeck, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    limbeck("report", finished)
    before = (finished / "report.html").read_bytes()
    monkeypatch.setattr("limbeck.utils.atomic_files.os.fsync", full)
    code, _, err = limbeck("report", finished)
    assert code == 2
    assert f"{finished / 'report.html'}: the disk is full" in err.replace("\n", "")
    assert (finished / "report.html").read_bytes() == before
