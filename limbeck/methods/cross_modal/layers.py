"""The layers that a method compares."""

from __future__ import annotations


def check_layers(method: str, layer: str | None, teacher_layer: str | None) -> None:
    """Raises a `ValueError` for a layer of the teacher without one of the student."""
    if layer is None and teacher_layer is not None:
        raise ValueError(
            f"{method}: teacher_layer is {teacher_layer!r} and layer is not given; name the student's layer too, or neither, "
            "so that outputs are compared"
        )
