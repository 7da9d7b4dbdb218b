"""Objectives on the similarities between the student's embeddings and the teacher's in a batch.

Both embeddings lie in one space, [B, D]; an adapter, a linear projection, makes widths equal first. The teacher may read
another modality: the student is placed in its space.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from limbeck.core.objective import Knowledge, registry, require
from limbeck.objectives.embeddings import EmbeddingObjective
from limbeck.objectives.functional.divergence import kl_divergence
from limbeck.objectives.functional.elementary import l2_normalize

EQUAL = 1e-5  # teacher embeddings of a cosine above 1 − EQUAL are of one thing


class CrossSimilarityObjective(EmbeddingObjective):
    """Base class."""

    knowledge: ClassVar[Knowledge] = "relation"
    over_batch: ClassVar[bool] = True


@registry.register("cross_similarity")
class CrossSimilarity(CrossSimilarityObjective):
    """The cosines of a student's embedding with the teacher's of all items, against those of the teacher's own embedding.

    Embeddings [B, D] of equal widths. With a temperature the cosines are compared as distributions instead, over the teacher's
    items for each of the student's and over the student's for each of the teacher's: the affinities of Wu et al. 2023, with the
    teacher's embeddings as its items of both modalities.

    Args:
        temperature: τ of the distributions; None: the squared difference of the cosines.

    Raises:
        ValueError: shapes that differ; a temperature not above 0.

    Source: in the manner of Tung & Mori 2019, arXiv 1907.09682; with a temperature Wu et al. 2023 (TinyCLIP), arXiv 2309.12314.
    """

    name = "cross_similarity"
    formula = (
        "mean_j (cos(s_i, t_j) − cos(t_i, t_j))²; with τ: ½ KL(softmax_j t_i·t_j/τ ‖ softmax_j s_i·t_j/τ) + "
        "½ KL(softmax_j t_j·t_i/τ ‖ softmax_j s_j·t_i/τ), s and t L2-normalised"
    )
    source = "Wu et al. 2023 (TinyCLIP), arXiv 2309.12314"
    bibtex = """
        @inproceedings{wu2023tinyclip,
            title = {{TinyCLIP}: {CLIP} Distillation via Affinity Mimicking and Weight Inheritance},
            author = {Wu, Kan and Peng, Houwen and Zhou, Zhenghong and Xiao, Bin and Liu, Mengchen and Yuan, Lu and Xuan, Hong
                and Valenzuela, Michael and Chen, Xi and Wang, Xinggang and Chao, Hongyang and Hu, Han},
            booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
            year = {2023},
            eprint = {2309.12314},
            archiveprefix = {arXiv},
        }
    """

    def __init__(self, *, temperature: float | None = None) -> None:
        super().__init__()
        require(temperature is None or temperature > 0, self.name, "temperature", temperature, "use a value above 0, or none")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        t = l2_normalize(teacher)
        ours, theirs = l2_normalize(student) @ t.mT, t @ t.mT
        if self.temperature is None:
            return (ours - theirs).square().mean(1)
        sides = [[(each / self.temperature).log_softmax(1) for each in pair] for pair in ((theirs, ours), (theirs.mT, ours.mT))]
        return (kl_divergence(*sides[0]) + kl_divergence(*sides[1])) / 2


@registry.register("info_nce")
class InfoNCE(CrossSimilarityObjective):
    """Cross entropy of finding the teacher's embedding of an item among those of the batch, and the student's in turn.

    Embeddings [B, D] of equal widths. Items whose teacher embeddings are equal (two pictures with one caption) are no negatives
    of each other. The teacher's side is frozen, so that only the student moves; `contrastive` takes its negatives from memory.

    Args:
        temperature: τ of the cosines.

    Raises:
        ValueError: shapes that differ; a temperature not above 0.

    Source: Radford et al. 2021 (CLIP), arXiv 2103.00020; in one direction van den Oord et al. 2018 (CPC), arXiv 1807.03748.
    """

    name = "info_nce"
    formula = "−½ log e^{s_i·t_i/τ} / Σ_j e^{s_i·t_j/τ} − ½ log e^{s_i·t_i/τ} / Σ_j e^{s_j·t_i/τ}, s and t L2-normalised"
    source = "Radford et al. 2021 (CLIP), arXiv 2103.00020; van den Oord et al. 2018 (CPC), arXiv 1807.03748"
    bibtex = """
        @inproceedings{radford2021learning,
            title = {Learning Transferable Visual Models From Natural Language Supervision},
            author = {Radford, Alec and Kim, Jong Wook and Hallacy, Chris and Ramesh, Aditya and Goh, Gabriel and Agarwal,
                Sandhini and Sastry, Girish and Askell, Amanda and Mishkin, Pamela and Clark, Jack and Krueger, Gretchen and
                Sutskever, Ilya},
            booktitle = {International Conference on Machine Learning},
            year = {2021},
            eprint = {2103.00020},
            archiveprefix = {arXiv},
        }
    """
    exempt: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("minimum", "stationary"), "it pushes items apart, so the loss is lower where they are further apart than the teacher's"
    )

    def __init__(self, *, temperature: float = 0.07) -> None:
        super().__init__()
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 0.07")
        self.temperature = temperature

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        t = l2_normalize(teacher)
        others = ~torch.eye(len(t), dtype=torch.bool, device=t.device)
        scores = l2_normalize(student) @ t.mT / self.temperature
        scores = scores.masked_fill(others & (t @ t.mT > 1 - EQUAL), -torch.inf)
        return -(scores.log_softmax(1) + scores.log_softmax(0)).diagonal() / 2
