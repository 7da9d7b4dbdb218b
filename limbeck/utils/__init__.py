"""Small tools without distillation in them: registry, atomic files, processes, lazy imports, logs."""
