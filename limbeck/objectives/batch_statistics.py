"""Objectives on the statistics of a batch: for inputs that are trained to look like the data of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor
from torch.linalg import vector_norm

from limbeck.core.objective import Knowledge, Objective, registry
from limbeck.core.signals import shape_of


@registry.register("batchnorm_statistics")
class BatchNormStatistics(Objective):
    """Distance of a batch's mean and variance from the running statistics of a BatchNorm layer.

    The signal is that of the tap `statistics(P)`, [B, 3, C], of a model that is frozen; what is trained are its inputs:
    `Term(BatchNormStatistics(), student="teacher:statistics(*)")` in an update of a generator or of images stands for one term
    for each layer. All items have the loss of the batch. The variance is that of the population, over items and positions.

    Raises:
        ValueError: a signal of another shape.

    Source: Yin et al. 2020 (DeepInversion), arXiv 1912.08795.
    """

    name = "batchnorm_statistics"
    knowledge: ClassVar[Knowledge] = "feature"
    formula = "‖μ(x) − μ_BN‖₂ + ‖σ²(x) − σ²_BN‖₂, norms over channels"
    source = "Yin et al. 2020 (DeepInversion), arXiv 1912.08795"
    bibtex = """
        @inproceedings{yin2020dreaming,
            title = {Dreaming to Distill: Data-free Knowledge Transfer via {DeepInversion}},
            author = {Yin, Hongxu and Molchanov, Pavlo and Alvarez, Jose M. and Li, Zhizhong and Mallya, Arun and Hoiem, Derek
                and Jha, Niraj K. and Kautz, Jan},
            booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
            year = {2020},
            eprint = {1912.08795},
            archiveprefix = {arXiv},
        }
    """
    needs_teacher = False
    over_batch = True
    ndims: ClassVar[tuple[int, ...]] = (3,)
    expects: ClassVar[tuple[str, ...]] = ("statistics of BatchNorm inputs [B, 3, C]",)
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("minimum", "stationary"), "it compares with running statistics, which are part of the signal"
    )

    def check(self, student: Any, teacher: Any, target: Any) -> None:
        if not isinstance(student, Tensor) or student.ndim != 3 or student.shape[1] != 3:
            raise ValueError(
                f"{self.name}: the signal has shape {shape_of(student)}; statistics of a BatchNorm layer are needed, "
                "[batch, 3, channels]: tap statistics(P), where P is the path of the layer"
            )

    def compare(self, student: Tensor, teacher: Any, *, target: Any, mask: Any, index: Any) -> Tensor:
        mean, square, running = student.mean(0)  # of the difference from the running mean
        loss: Tensor = vector_norm(mean) + vector_norm(square - mean.square() - running)
        return loss.expand(len(student))
