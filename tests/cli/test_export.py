"""`limbeck export` and `limbeck profile`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from limbeck.export import costs, exporter
from tests.cli.conftest import Limbeck

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (exporter, costs):
        monkeypatch.setattr(module, "peak_memory", lambda kind, path, shape: 10**6)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_export_and_profile(limbeck: Limbeck, run: Path) -> None:
    code, out, _ = limbeck("export", run, "--json")
    assert code == 0
    assert [record["format"] for record in json.loads(out)] == ["pytorch", "pytorch", "onnx", "onnx"]
    code, out, _ = limbeck("profile", run / "exports" / "student-fp32.onnx", "--json")
    assert code == 0
    assert json.loads(out)["student-fp32.onnx"]["latency_ms"]["median"] > 0
    code, out, _ = limbeck("profile", run / "exports" / "student-fp32.onnx")
    assert code == 0
    assert "student-fp32.onnx" in out.replace("\n", "")
    code, _, err = limbeck("export", run, "--format", "onyx")
    assert code == 2
    assert "unknown format 'onyx'" in err
    code, _, err = limbeck("profile", run / "recipe.yaml")
    assert code == 2
    assert "recipe.yaml is no run" in err
    code, _, err = limbeck("profile", run / "exports" / "student-fp32.onnx", "--shape", "3,x")
    assert code == 2
    assert "expected whole numbers, such as 3,32,32" in " ".join(err.replace("│", " ").split())
