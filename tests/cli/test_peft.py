"""A student with adapters of PEFT, from the command line: trained, evaluated, shipped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from limbeck.evaluation import Verdict
from limbeck.models import load_model
from limbeck.recipe import load_plugin
from tests import tiny
from tests.cli.conftest import Limbeck

pytest.importorskip("peft")

PLUGIN = """
import peft
from limbeck import models

@models.registry.register("with_lora")
def with_lora(classes: int = 10, channels: int = 1, size: int = 8):
    base = models.get("tiny_cnn", width=4, size=size, channels=channels, classes=classes)
    return peft.get_peft_model(base, peft.LoraConfig(r=2, target_modules="all-linear"))
"""


def test_an_adapter_is_trained_evaluated_and_shipped(limbeck: Limbeck, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    plugin, run = tmp_path / "lora.py", tmp_path / "run"
    plugin.write_text(PLUGIN)
    content = tiny.content()
    content["student"] = {"model": "with_lora"}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    code, out, err = limbeck("distill", tmp_path / "r.yaml", "--plugin", plugin, "--out", run)
    assert code == 0, out + err
    verdict = Verdict.load(run)
    load_plugin(plugin)
    saved = load_model(run / "student").state_dict()
    assert any("lora_" in name for name in saved)
    code, out, _ = limbeck("evaluate", run, "--data", "digits", "--split", "test", "--json")
    assert code == 0
    assert json.loads(out)["accuracy"] == pytest.approx(verdict.student.metric)
    code, out, err = limbeck("export", run, "--format", "onnx", "--student-only")
    assert code == 0, out + err
    (file,) = (each for each in Verdict.load(run).exports if each.format == "onnx")
    assert file.error is None
    assert file.metric == pytest.approx(verdict.student.metric)
