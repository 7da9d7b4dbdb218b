"""ONNX export, run with ONNX Runtime."""
