"""Limbeck: knowledge distillation, from a teacher to a proven student."""
