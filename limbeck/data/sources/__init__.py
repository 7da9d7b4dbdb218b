"""Sources of inputs that are not data sets."""
