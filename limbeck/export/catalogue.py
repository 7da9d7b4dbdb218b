"""All formats: those that come with Limbeck register themselves when they are imported here."""

from limbeck.export.base import Format, formats
from limbeck.export.executorch import format as executorch
from limbeck.export.onnx import format as onnx
from limbeck.export.pytorch import PYTORCH, PyTorch


def runtime(name: str) -> Format:
    """The format called `name`, PyTorch's own among them."""
    kind: Format = PyTorch() if name == PYTORCH else formats.get(name)
    return kind


__all__ = ["executorch", "formats", "onnx", "runtime"]
