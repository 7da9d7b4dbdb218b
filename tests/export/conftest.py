"""Leaves out the tests of ONNX files if its packages are not installed."""

from importlib.util import find_spec

collect_ignore = []
if any(find_spec(package) is None for package in ("onnx", "onnxruntime", "onnxscript")):
    collect_ignore += ["onnx", "test_exporter.py", "test_text_models.py"]
