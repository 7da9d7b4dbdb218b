"""A finished run of the smallest recipe."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from limbeck.runs import run_recipe
from tests import tiny

collect_ignore = []
if any(find_spec(package) is None for package in ("onnx", "onnxruntime", "onnxscript")):
    collect_ignore += ["test_evaluate_exported.py", "test_export.py", "test_results.py"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run_recipe(tiny.recipe(), folder, progress=False)
    return folder
