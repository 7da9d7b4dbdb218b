"""The guide's pages: their files are those of the examples, and their commands do what they say, shortened in training only."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path

import pytest

from limbeck import cli
from limbeck.models import registry

ROOT = Path(__file__).parents[2]
SHORT = ["--set", "training.epochs=0.1", "--set", "teacher.training.epochs=0.1", "--set", "data.test.limit=60"]
UNSHIPPED = ["--set", "export=null"]  # the trial, so that files are made and measured once
BLOCK = re.compile(r"^```(\w+)(?: title=\"([\w.]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[tuple[str, str, str]]:
    """(language, title, text) of the code blocks of a page."""
    return BLOCK.findall((ROOT / "docs" / "guide" / page).read_text(encoding="utf-8"))


@pytest.fixture
def as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def run(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    program, *arguments = shlex.split(command)
    if program == "python":
        runpy.run_path(arguments[0], run_name="__main__")
        return 0
    assert program == "limbeck"
    monkeypatch.setattr(registry, "_parts", {name: part for name, part in registry._parts.items() if ":" not in name})
    if arguments[0] == "distill":
        arguments += SHORT + (UNSHIPPED if "runs/trial" in arguments else [])
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def follow(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Write the files of a page and run its commands in order; returns what each command printed."""
    printed = {}
    for language, title, text in blocks(page):
        if title:
            Path(title).write_text(text)
        for command in text.splitlines() if language == "bash" else ():
            code = run(command, monkeypatch)
            out, err = capsys.readouterr()
            assert code in ((0, 3) if " distill " in command else (0,)), f"{command}\n{out}\n{err}"  # 3: a target is missed
            printed[command] = out
    return printed


def test_own_model_and_images_to_a_verdict_and_a_file(
    as_a_user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    printed = follow("own-model.md", monkeypatch, capsys)
    assert (as_a_user / "runs" / "digits" / "exports" / "student-fp32.onnx").stat().st_size > 10_000
    assert (as_a_user / "runs" / "digits" / "report.html").exists()
    assert "shows digit-" in printed["python use_onnx.py"]
    assert "@misc{hinton2015distilling" in next(out for command, out in printed.items() if " cite " in command)
    asked = next(out for command, out in printed.items() if " init " in command)
    shown = next(text for language, _, text in blocks("own-model.md") if language == "text" and text.startswith("data "))
    assert shown.strip() in asked  # the page shows what one gets


def test_five_minutes(as_a_user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = follow("start.md", monkeypatch, capsys)
    assert "distillation" in printed["limbeck distill digits"]
    assert "finished" in printed["limbeck runs"]
    assert (as_a_user / "my-digits.yaml").exists()


@pytest.mark.parametrize("title", ["make_photos.py", "my_models.py", "use_onnx.py"])
def test_the_page_shows_the_files_of_the_example(title: str) -> None:
    shown = {name: text for _, name, text in blocks("own-model.md") if name}
    assert shown[title] == (ROOT / "examples" / "own_model" / title).read_text()


@pytest.mark.parametrize("name", ["plain_loop", "transformers_trainer", "lightning_module", "timm_teacher"])
def test_each_example_has_its_place_in_the_guide(name: str) -> None:
    text = (ROOT / "docs" / "guide" / "integrations.md").read_text()
    assert f"`examples/{name}.py`" in text
