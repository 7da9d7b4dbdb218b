"""int8 quantization: PT2E, dynamic and quantization-aware training."""
