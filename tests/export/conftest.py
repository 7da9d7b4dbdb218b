"""Tests of formats whose packages are not installed are left out."""

from importlib.util import find_spec

collect_ignore = []
if any(find_spec(package) is None for package in ("onnx", "onnxruntime", "onnxscript")):
    collect_ignore += ["test_onnx.py", "test_graphs.py", "test_exporter.py", "test_runs.py"]
