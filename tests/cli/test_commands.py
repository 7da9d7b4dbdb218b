"""The command line: exit codes, one clear message, tables that fit, and help without torch."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from limbeck import cli
from tests import tiny

ROOT = Path(__file__).parents[2]
Limbeck = Callable[..., tuple[int, str, str]]


@pytest.fixture
def limbeck(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Limbeck:
    """Run the command line within this process: `limbeck("methods", "--json")` → (exit code, stdout, stderr)."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main() sets its own
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["limbeck", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        out, err = capsys.readouterr()
        return int(stop.value.code or 0), out, err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from limbeck.runs import run_recipe

    folder = tmp_path_factory.mktemp("cli") / "finished"
    run_recipe(tiny.recipe(), folder, progress=False)
    return folder


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


# --- help, and what is built in --------------------------------------------------------------------------------------


def test_help_answers_at_once_and_without_torch() -> None:
    heavy = "('torch', 'numpy', 'pydantic', 'accelerate', 'yaml')"
    script = (
        "import sys; from limbeck import cli; sys.argv = ['limbeck', '--help']\n"
        "try: cli.main()\n"
        f"except SystemExit as stop: print('CODE', stop.code, 'HEAVY', [name for name in {heavy} if name in sys.modules])"
    )
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment(), check=True)
    seconds = time.perf_counter() - began
    assert "CODE 0 HEAVY []" in done.stdout
    for command in ("distill", "evaluate", "compare", "recipes", "schema", "methods"):
        assert command in done.stdout
    assert seconds < 1 * (1 + os.getloadavg()[0] / (os.cpu_count() or 1))  # on a machine that does nothing else: 1 s


def test_recipes_are_listed_and_shown(limbeck: Limbeck) -> None:
    code, out, _ = limbeck("recipes")
    assert code == 0
    assert "digits" in out
    assert "Handwritten digits" in out
    code, out, _ = limbeck("recipes", "show", "digits")
    assert code == 0
    assert yaml.safe_load(out)["name"] == "digits"
    code, _, err = limbeck("recipes", "show", "digitz")
    assert code == 2
    assert "unknown recipe 'digitz'; nearest: digits" in err
    assert limbeck("recipes", "hide")[0] == 2


def test_methods_and_schema(limbeck: Limbeck) -> None:
    code, out, _ = limbeck("methods")
    assert code == 0
    assert "correlation_congruence" in out  # the longest name is whole at 80 columns
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = limbeck("methods", "soft_targets")
    assert code == 0
    assert "Hinton" in out
    rows = json.loads(limbeck("methods", "--json")[1])
    assert json.loads(limbeck("methods", "soft_targets", "--json")[1]) in rows
    code, _, err = limbeck("methods", "softtargets")
    assert code == 2
    assert err.startswith("error: unknown objective 'softtargets'; nearest: soft_targets")
    assert json.loads(limbeck("schema")[1])["properties"]["teacher"]


# --- distill ---------------------------------------------------------------------------------------------------------


def test_targets_met_and_missed_are_exit_codes(limbeck: Limbeck, tmp_path: Path, finished: Path) -> None:
    file = tiny.write(tmp_path, "targets={parameters: 100000}")
    code, out, err = limbeck("distill", file, "--out", tmp_path / "met")
    assert code == 0, err
    for part in (
        "train 1,078 items",
        "teacher",
        "control",
        "student",
        "distillation",
        "target parameters: met",
        "met/report.html",
    ):
        assert part in out
    assert "…" not in out.split("━┓")[-1]  # nothing in the table is cut off
    same = "student/model.safetensors"
    assert (tmp_path / "met" / same).read_bytes() == (finished / same).read_bytes()
    code, out, _ = limbeck(
        "distill", file, "--out", tmp_path / "met", "--resume", "--set", "targets={parameters: 100}", "--json"
    )
    assert code == 3
    verdict = json.loads(out)  # and nothing else was printed
    assert verdict["targets"]["parameters"]["met"] is False
    assert verdict == json.loads((tmp_path / "met" / "verdict.json").read_text())


def test_options_change_the_recipe(limbeck: Limbeck, tmp_path: Path) -> None:
    file = tiny.write(tmp_path)
    fast = ["--set", "training.steps=2", "--set", "teacher.training.steps=2", "--set", "data.test.limit=50"]
    code, out, _ = limbeck("distill", file, "--out", tmp_path / "run", "--seed", 7, "--no-control", *fast, "--json")
    assert code == 0
    verdict = json.loads(out)
    assert verdict["seeds"] == [7]
    assert verdict["results"]["student"]["control"] is None
    assert len(verdict["classes"]) in (0, 10)
    code, _, err = limbeck("distill", file, "--out", tmp_path / "run", *fast)
    assert code == 2
    assert err.startswith("error: ")
    assert "--resume" in err
    code, _, err = limbeck("distill", file, "--out", tmp_path / "run", "--force", "--seed", 8, "--no-control", *fast)
    assert code == 0, err
    assert json.loads((tmp_path / "run" / "verdict.json").read_text())["seeds"] == [8]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no.yaml"], "recipe no.yaml: there is no such file"),
        (["digitz"], "unknown recipe 'digitz'; nearest: digits"),
        (["digits", "--set", "training.epohcs=3"], "training.epohcs: there is no such field; nearest: epochs"),
        (["digits", "--set", "training.epochs"], "expected path=value"),
        (["digits", "--set", "data.train.path=/no/x.parquet"], "data.train: there is no folder /no"),
        (["digits", "--bogus"], "No such option"),
        (["digits", "--seed", "x"], "Invalid value for '--seed'"),
        (["digits", "--plugin", "no.py"], "--plugin no.py: there is no such Python file"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_is_one_message(limbeck: Limbeck, tmp_path: Path, arguments: list[str], said: str) -> None:
    code, out, err = limbeck("distill", *arguments, "--out", tmp_path / "run")
    assert code == 2
    assert said in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in out + err
    assert not (tmp_path / "run").exists()


def test_a_plugin_gives_recipes_more_names(limbeck: Limbeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limbeck.models import registry

    monkeypatch.setattr(registry, "_parts", dict(registry._parts))  # what the plugin adds goes again
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from torch import nn\nfrom limbeck import models\n"
        "@models.registry.register('one_layer')\n"
        "def one_layer(classes=10): return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))\n"
    )
    file = tmp_path / "r.yaml"
    fields = tiny.content("training.steps=2", "teacher.training.steps=2", "control=false")
    file.write_text(yaml.safe_dump({**fields, "student": {"model": "one_layer"}}))
    code, _, err = limbeck("distill", file, "--out", tmp_path / "run", "--json")
    assert (code, "unknown model 'one_layer'" in err) == (2, True)
    code, _, err = limbeck("distill", file, "--out", tmp_path / "run", "--plugin", plugin, "--json")
    assert code == 0, err


def test_ctrl_c_keeps_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    file = tiny.write(tmp_path, "training.steps=3000", "training.checkpoint_every=100000", "training.log_every=1")
    out = tmp_path / "a run"  # the command must quote it
    command = [sys.executable, "-m", "limbeck.cli"]
    arguments = ["distill", file, "--out", out, "--no-control", "--set", "data.test.limit=50", "--json"]
    process = subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=environment())
    log = out / "log.jsonl"
    until = time.monotonic() + 120
    while time.monotonic() < until and not (log.exists() and '"arm": "student"' in log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert "the checkpoint is written" in said
    assert list(out.glob("checkpoints/seed-0-student/checkpoints/step-*"))
    again = next(line for line in said.splitlines() if line.startswith("limbeck distill"))
    done = [json.loads(line)["step"] for line in log.read_text().splitlines() if "student" in line]
    process = subprocess.Popen(
        [*command, *shlex.split(again)[1:], "--json"], stderr=subprocess.PIPE, text=True, env=environment()
    )
    while time.monotonic() < until and len(log.read_text().splitlines()) < len(done) + 20:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if "student" in line and "values" in line]
    assert steps == list(range(1, len(steps) + 1))  # it went on where it was: no step is missing, none stands twice
    assert len(steps) > len(done)


# --- evaluate and compare --------------------------------------------------------------------------------------------


def test_evaluate(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    code, out, _ = limbeck("evaluate", finished, "--data", "digits", "--split", "test")
    assert code == 0
    assert "on 599 items" in out
    code, out, _ = limbeck("evaluate", finished, "--data", "digits", "--split", "test", "--json")
    figures = json.loads(out)
    assert figures["ci95"][0] <= figures["accuracy"] <= figures["ci95"][1]
    for arguments, said in (
        ((finished, "--data", tmp_path / "no.parquet"), "no.parquet"),
        ((tmp_path / "no-run", "--data", "digits"), "there is no"),
        ((tmp_path, "--data", "digits"), "no run directory"),
    ):
        code, out, err = limbeck("evaluate", *arguments)
        assert (code, out) == (2, "")
        assert said in err


def test_compare(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "a-run-with-quite-a-long-name"
    shutil.copytree(finished, other)
    code, out, _ = limbeck("compare", finished, other)
    assert code == 0
    assert "finished" in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert set(json.loads(limbeck("compare", finished, other, "--json")[1])["runs"]) == {"finished", other.name}
    (other / "verdict.json").unlink()
    code, out, err = limbeck("compare", finished, other)
    assert (code, out) == (2, "")
    assert "has no verdict yet; finish it with: limbeck distill" in err
