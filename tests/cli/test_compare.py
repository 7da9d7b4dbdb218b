"""`limbeck compare`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from limbeck.evaluation import Export, Latency, Verdict
from tests import tiny
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


def test_runs_on_other_test_data_are_named(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    assert "test data" not in limbeck("compare", finished, other)[1]
    verdict = Verdict.load(other)
    assert verdict.test_data is not None
    verdict.model_copy(update={"items": 100}).save(other / "verdict.json")
    said = "other: measured on other test data than finished (100 and 599 items)"
    assert said in limbeck("compare", finished, other)[1]
    compared = json.loads(limbeck("compare", finished, other, "--json")[1])["runs"]
    assert (compared["other"]["items"], compared["finished"]["items"]) == (100, 599)


def test_the_folder_of_a_comparison_shows_its_table_and_is_no_run(limbeck: Limbeck, tmp_path: Path) -> None:
    fields = tiny.content()
    fields |= {"variants": {"soft": fields.pop("terms")}}
    place = tmp_path / "three.yaml"
    place.write_text(yaml.safe_dump(fields))
    folder = tmp_path / "compared"
    code, table, err = limbeck("compare", place, "--out", folder)
    assert code == 0, err
    assert limbeck("compare", folder)[1].strip() in table
    assert json.loads(limbeck("compare", folder, "--json")[1])["control"] == "control"
    said = f"{folder} is a comparison, not a run; name one of its runs, such as {folder / 'control'}"
    for command in (("evaluate", folder, "--data", "digits"), ("export", folder), ("compare", folder, folder / "soft")):
        code, _, err = limbeck(*command)
        assert (code, said in err) == (2, True), err
    (folder / "comparison.json").unlink()
    code, _, err = limbeck("compare", folder)
    assert code == 2
    assert "no comparison here" in err
