"""The student as files that run elsewhere: ONNX and ExecuTorch, whole or in eight bits, compared and measured there."""
