"""`export:` the files that the results of a run are written as."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from limbeck.export import formats
from limbeck.recipe.schema.base import Spec


class QuantizationAwareSpec(Spec):
    """A last stage in which the student, with int8 weights and activations simulated, learns from the teacher."""

    epochs: float = Field(1.0, gt=0)
    lr: float = Field(1e-3, gt=0)


class ExportSpec(Spec):
    """The files that the results of a run are exported as. Each is compared with PyTorch and measured in its own runtime."""

    formats: list[str] = Field(["onnx"], min_length=1, description="onnx, executorch, or a format of an installed package")
    precisions: list[Literal["fp32", "int8"]] = Field(["fp32"], min_length=1)
    calibration_items: int = Field(512, gt=1, description="training items that show the ranges of activations, for int8")
    quantization_aware: QuantizationAwareSpec | None = Field(None, description="if the accuracy loss of int8 is too large")
    results: list[str] = Field(
        default_factory=list, description="which of the results are exported, by name or pattern (early.*); none given: all"
    )
    teacher: bool = Field(True, description="export the teacher in the same ways, to compare with")

    @field_validator("formats")
    @classmethod
    def _check_names(cls, names: list[str]) -> list[str]:
        for name in names:
            formats[name]  # raises with the nearest names, after looking at installed packages
        return names
