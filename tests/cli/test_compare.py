"""`limbeck compare`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from limbeck.evaluation import Export, Latency, Verdict
from tests.cli.conftest import Limbeck


def test_compare(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "a-run-with-quite-a-long-name"
    shutil.copytree(finished, other)
    code, out, _ = limbeck("compare", finished, other)
    assert code == 0
    assert "finished" in out
    assert "…" not in out
    assert max(len(line) for line in out.splitlines() if "latency varies" not in line) <= 80  # as it may on a busy machine
    assert set(json.loads(limbeck("compare", finished, other, "--json")[1])["runs"]) == {"finished", other.name}
    (other / "verdict.json").unlink()
    code, out, err = limbeck("compare", finished, other)
    assert (code, out) == (2, "")
    assert "has no verdict yet; finish it with: limbeck distill" in err


def test_slower_int8_and_unsteady_latencies_are_said(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    times = (("fp32", 0.31, 0.32), ("int8", 0.45, 0.46))
    exports = [
        Export(format="onnx", precision=precision, path=precision, latency_ms=Latency(median, p95))
        for precision, median, p95 in times
    ]
    verdict = Verdict.load(other)
    result = verdict.result.distilled.model_copy(update={"latency_ms": Latency(1.0, 5.0)})
    results = {"student": verdict.result.model_copy(update={"distilled": result})}
    verdict.model_copy(update={"exports": exports, "results": results}).save(other / "verdict.json")
    code, out, _ = limbeck("compare", finished, other)
    assert code == 0
    assert "other: student onnx int8: ship fp32: int8 is slower here (0.45 against 0.31 ms)" in out
    assert "other: student: its latency varies" in out
    assert "finished: student onnx" not in out
