"""What a reader of a table is told: slower int8, latencies that vary, and whose seed a metric is."""

from __future__ import annotations

from limbeck.evaluation import Export, Latency
from limbeck.evaluation.remarks import arm_remarks, export_remarks, exported_seed, latency_remark, mean_of_seeds
from limbeck.evaluation.report.device import device
from limbeck.evaluation.report.numbers import arms
from limbeck.export import exports_table, remarks

from .conftest import make, with_result


def row(precision: str, median: float, p95: float | None = None, model: str = "student", kind: str = "onnx") -> Export:
    latency = Latency(median, 1.1 * median if p95 is None else p95)
    return Export(
        model=model, format=kind, precision=precision, path="exports/x", latency_ms=latency, metric=0.9, ci95=(0.8, 0.95)
    )


def test_slower_int8_is_said_with_both_latencies() -> None:
    rows = [row("fp32", 0.31), row("int8", 0.45), row("fp32", 2.0, model="teacher"), row("int8", 1.0, model="teacher")]
    assert remarks(rows) == ["student onnx int8: ship fp32: int8 is slower here (0.45 against 0.31 ms)"]
    assert not remarks([row("fp32", 0.31), row("int8", 0.31)])
    assert not remarks([row("fp32", 0.31), row("int8", 0.45, kind="executorch")])  # other runtimes are not compared
    failed = Export(format="onnx", precision="int8", error="odd graph", remedy="Change it")
    assert remarks([failed]) == ["student onnx int8: odd graph. Change it"]


def test_a_latency_that_varies_is_said() -> None:
    assert latency_remark(Latency(1.0, 2.9)) == latency_remark(None) == ""
    assert "is 5.0 times the median, 1.00 ms" in latency_remark(Latency(1.0, 5.0))
    (found,) = export_remarks([row("fp32", 1.0, 5.0)])
    assert "limbeck profile" in found.remedy


def test_terminal_and_report_say_the_same() -> None:
    verdict = make().model_copy(update={"exports": [row("fp32", 0.31), row("int8", 0.45, 4.5)]})
    page = str(device(verdict))
    for text in ("ship fp32: int8 is slower here (0.45 against 0.31 ms)", "is 10.0 times the median"):
        assert text in page
    assert "accuracy: of the exported model, one of 2 seeds" in page
    caption = str(exports_table(verdict.exports, seeds=2).caption)
    assert caption.startswith("accuracy: of the exported model, one of 2 seeds")
    assert "accuracy: mean of 2 seeds" in str(arms(verdict))
    assert mean_of_seeds(verdict) == "accuracy: mean of 2 seeds"
    assert exported_seed("F1", 1) == "F1: one seed"


def test_an_arm_whose_latency_varies_is_said() -> None:
    verdict = make()
    assert not arm_remarks(verdict)
    noisy = verdict.student.model_copy(update={"latency_ms": Latency(1.0, 8.0)})
    verdict = with_result(verdict, distilled=noisy)
    assert "student: its latency varies" in arm_remarks(verdict)[0]
    assert "its latency varies" in str(arms(verdict))
