"""Size against quality: what is drawn, and where targets lie."""

import pytest

from limbeck.evaluation import Export
from limbeck.evaluation.report.sizes import _goals, sizes

from ..conftest import make
from . import made


def test_targets_lie_where_they_were_set():
    goals = {
        "retention": 0.9,
        "gain": 4,
        "metric": 0.7,
        "compression": 10,
        "parameters": 500_000,
        "file_bytes": 3_000_000,
        "ece": 0.1,
    }
    verdict = make(targets=goals)
    by_parameters = {goal.text: (goal.metric, goal.size) for goal in _goals(verdict, "parameters")}
    assert by_parameters["90 % kept"] == (pytest.approx(0.81), None)
    assert by_parameters["+4 points"] == (pytest.approx(0.79), None)
    assert by_parameters["goal 70 %"] == (0.7, None)
    assert by_parameters["10× smaller"] == (None, 1_100_000)
    assert by_parameters["at most 500 k"] == (None, 500_000)
    assert "at most 3.00 MB" in [goal.text for goal in _goals(verdict, "file_bytes")]
    assert "10× smaller" not in [goal.text for goal in _goals(verdict, "file_bytes")]


def test_exports_are_points_of_the_second_figure(rich):
    section = str(sizes(rich))
    assert section.count("<svg") == 2
    assert "student, onnx int8" in section
    assert "96.0 kB" in section
    assert "triangles onnx, diamonds executorch" in section


def test_files_that_failed_or_were_not_measured_are_no_points():
    lost = [made.FAILED, Export(format="onnx", precision="fp32", bytes=10)]
    assert "onnx" not in str(sizes(make(exports=lost)))


def test_without_sizes_there_is_nothing_to_draw():
    section = sizes(make(model_costs={}))
    assert section is not None
    assert section.parts == []
