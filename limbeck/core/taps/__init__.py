"""Where signals are read inside a model: taps, probes, encoder layouts and attention hooks."""
