"""ExecuTorch export, run with XNNPACK."""
