"""Exports: measured, failed, and beside the teacher."""

from limbeck.evaluation import Export, Latency
from limbeck.evaluation.report.device import device

from ..conftest import make
from . import made


def test_files_beside_the_teachers(rich):
    section = str(device(rich))
    for part in ("onnx int8 6.1×", "executorch fp32 9.2×", "pytorch fp32", "96.0 kB", "0.31 ms", "87.60 %<small>["):
        assert part in section, part


def test_what_failed_has_its_reason_and_remedy(rich):
    section = str(device(rich))
    assert "✗ failed" in section
    assert "line 12: if x.sum() &gt; 0: &lt;b&gt;depends on the data&lt;/b&gt;" in section
    assert "use torch.where" in section


def test_a_warning_stands_beside_its_file():
    lossy = made.EXPORTS[3].model_copy(update={"warning": "lost 0.9 points", "remedy": "train it for int8"})
    section = str(device(make(exports=[lossy])))
    assert "lost 0.9 points" in section
    assert "train it for int8" in section
    assert "failed" not in section


def test_one_file_needs_no_drawing_and_none_no_section():
    file = Export(format="onnx", precision="int8", path="exports/<b>.onnx", bytes=23_000, latency_ms=Latency(0.8, 1.1))
    section = str(device(make(exports=[file], model_costs={})))
    assert "<svg" not in section
    assert "23.0 kB" in section
    assert device(make()) is None


def test_the_exporters_own_measure_of_pytorch_is_preferred():
    own = Export(format="pytorch", precision="fp32", bytes=1000, latency_ms=Latency(9.0, 9.5), metric=0.8)
    section = str(device(make(exports=[own, made.EXPORTS[1]])))
    assert section.count("pytorch fp32") == str(device(make(exports=[made.EXPORTS[1]]))).count("pytorch fp32") - 3
