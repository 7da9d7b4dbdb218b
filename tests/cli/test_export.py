"""`limbeck export` and `limbeck profile`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from limbeck.evaluation import Verdict
from limbeck.export import costs, exporter, formats
from tests import tiny
from tests.cli.conftest import Limbeck

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (exporter, costs):
        monkeypatch.setattr(module, "peak_memory", lambda kind, path, shape: 10**6)
    return Path(shutil.copytree(finished, tmp_path / "run"))


def test_distill_says_what_became_of_its_exports(limbeck: Limbeck, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "peak_memory", lambda kind, path, shape: 10**6)
    file = tiny.write(tmp_path, "export={formats: [onnx]}", "control=false", "targets={parameters: 100}")
    code, out, _ = limbeck("distill", file, "--out", tmp_path / "run")
    assert code == 3  # only the target is missed
    for part in ("student", "onnx fp32", "latency and memory", "accuracy: one seed", "run/exports/"):
        assert part in out

    def write(*_: object, **__: object) -> None:
        raise ValueError("odd graph")

    monkeypatch.setattr(type(formats.get("onnx")), "write", write)
    code, out, _ = limbeck("distill", file, "--out", tmp_path / "again")
    assert code == 4
    assert "failed" in out
    assert "student onnx fp32: odd graph" in out
    code, out, _ = limbeck("export", tmp_path / "run", "--student-only")  # an older file stands in
    assert code == 4
    assert "student onnx fp32: odd graph" in out
    kept = [record.warning or "" for record in Verdict.load(tmp_path / "run").exports if record.model == "student"]
    assert any("this is an older file, a later export failed: odd graph" in warning for warning in kept)


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
