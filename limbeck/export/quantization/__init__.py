"""int8 models: quantization-aware training, PT2E and dynamic quantization."""
