"""Tools that know nothing of distillation: registry, atomic files, folder locks, distributed, lazy imports, logs, progress."""
