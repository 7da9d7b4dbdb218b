"""`limbeck distill`: exit codes, one clear message, Ctrl-C."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests import ranks, tiny
from tests.cli.conftest import Limbeck


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
    process = subprocess.Popen([*command, *map(str, arguments)], stderr=subprocess.PIPE, text=True, env=ranks.ENVIRONMENT)
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
        [*command, *shlex.split(again)[1:], "--json"], stderr=subprocess.PIPE, text=True, env=ranks.ENVIRONMENT
    )
    while time.monotonic() < until and len(log.read_text().splitlines()) < len(done) + 20:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines() if "student" in line and "values" in line]
    assert steps == list(range(1, len(steps) + 1))  # it went on where it was: no step is missing, none stands twice
    assert len(steps) > len(done)
