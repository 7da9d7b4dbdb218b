"""All export formats; importing this module registers those of Limbeck."""

from limbeck.export.base import Format, formats
from limbeck.export.executorch import format as executorch
from limbeck.export.onnx import format as onnx
from limbeck.export.pytorch import PYTORCH, PyTorch


def runtime(name: str) -> Format:
    """Returns the format called `name`, which may be "pytorch"."""
    kind: Format = PyTorch() if name == PYTORCH else formats.get(name)
    return kind


__all__ = ["executorch", "formats", "onnx", "runtime"]
