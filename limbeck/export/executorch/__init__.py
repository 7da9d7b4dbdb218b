"""ExecuTorch files, run by its runtime with XNNPACK."""
