"""A store: signals of one or several taps on disk, found by sample key and view."""
