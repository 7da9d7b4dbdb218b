"""Objectives on hidden states, attention scores and attention distributions of transformers.

Notation: s student, t teacher, B items, T tokens, D dimensions, n the real tokens of an item. `mask` [B, T] marks real tokens;
see `limbeck.objectives.functional.token_masks`. An adapter makes the widths of hidden states equal first. Queries, keys and
values are compared in `limbeck.objectives.self_attention`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.core.objective import Knowledge, Objective, registry, require
from limbeck.core.signals import Match
from limbeck.objectives.functional.attention_divergence import attention_divergence
from limbeck.objectives.functional.elementary import cosine_distance, mean_squared_difference
from limbeck.objectives.functional.token_masks import broadcast_mask, token_mean, token_pairs, zero_padding

OTHER_HEADS = "`self_attention_relations` (MiniLM v2) compares models whose head counts differ"


class TokenObjective(Objective):
    """Base class of objectives on signals [..., T, D] or [..., T, T] that leave out padding; one loss per item, [B]."""

    def real(self, signal: Tensor, mask: Tensor | None) -> Tensor:
        """Which tokens of a signal are real: bool [B, T]."""
        expected = (signal.shape[0], signal.shape[-2])
        if mask is None:
            return torch.ones(expected, dtype=torch.bool, device=signal.device)
        if tuple(mask.shape) != expected:
            shapes = f"the mask {tuple(mask.shape)} does not fit the signal {tuple(signal.shape)}"
            raise ValueError(f"{self.name}: {shapes}; it marks the real tokens of each item, {expected}")
        return mask.to(signal.device, torch.bool)

    def counted(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        return broadcast_mask(self.real(signal, mask), signal)


class HiddenObjective(TokenObjective):
    """Base class of objectives on hidden states [B, T, D]."""

    knowledge: ClassVar[Knowledge] = "feature"
    match: ClassVar[Match] = Match.EVERYTHING
    ndims: ClassVar[tuple[int, ...]] = (3,)
    expects: ClassVar[tuple[str, ...]] = ("hidden states [B, T, D]",)
    tap_kinds: ClassVar[tuple[str, ...]] = ("hidden",)


@registry.register("hidden_states")
class HiddenStates(HiddenObjective):
    """Mean squared difference of hidden states over an item's real tokens and all dimensions.

    Hidden states [B, T, D] of equal shapes, or the output of the embedding layer. If the widths differ, an adapter is built,
    the paper's W_h.

    Raises:
        ValueError: shapes that differ, a mask of another shape than [B, T].

    Source: Jiao et al. 2020 (TinyBERT), arXiv 1909.10351; its loss of embeddings is the same.
    """

    name = "hidden_states"
    formula = "(1/(nD)) Σ_i Σ_d (s_{id} − t_{id})², i over the n real tokens"
    source = "Jiao et al. 2020 (TinyBERT), arXiv 1909.10351"
    bibtex = """
        @inproceedings{jiao2020tinybert,
            title = {{TinyBERT}: Distilling {BERT} for Natural Language Understanding},
            author = {Jiao, Xiaoqi and Yin, Yichun and Shang, Lifeng and Jiang, Xin and Chen, Xiao and Li, Linlin and Wang,
                Fang and Liu, Qun},
            booktitle = {Findings of the Association for Computational Linguistics: EMNLP 2020},
            year = {2020},
            eprint = {1909.10351},
            archiveprefix = {arXiv},
        }
    """

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        if mask is None:
            return mean_squared_difference(student, teacher)
        real = self.real(student, mask)
        return token_mean(zero_padding(student - teacher, real).square().mean(2), real)


@registry.register("hidden_cosine")
class HiddenCosine(HiddenObjective):
    """One minus the cosine of a token's hidden states, the mean over an item's real tokens.

    Hidden states [B, T, D] of equal shapes. The cosine with a zero vector counts as 0.

    Raises:
        ValueError: shapes that differ, a mask of another shape than [B, T].

    Source: Sanh et al. 2019 (DistilBERT), arXiv 1910.01108, with weight 1 beside 5 (soft targets) and 2 (masked tokens).
    """

    name = "hidden_cosine"
    formula = "(1/n) Σ_i (1 − cos(s_i, t_i)), i over the n real tokens"
    source = "Sanh et al. 2019 (DistilBERT), arXiv 1910.01108"
    bibtex = """
        @misc{sanh2019distilbert,
            title = {{DistilBERT}, a distilled version of {BERT}: smaller, faster, cheaper and lighter},
            author = {Sanh, Victor and Debut, Lysandre and Chaumond, Julien and Wolf, Thomas},
            year = {2019},
            eprint = {1910.01108},
            archiveprefix = {arXiv},
        }
    """

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        if mask is None:
            return cosine_distance(student, teacher).mean(1)
        real = self.real(student, mask)
        return token_mean(cosine_distance(zero_padding(student, real), zero_padding(teacher, real)), real)


@registry.register("feature_map_transfer")
class FeatureMapTransfer(HiddenObjective):
    """Squared differences of layer-normalised hidden states and of their means, and absolute difference of their variances.

    Hidden states [B, T, D] of equal shapes; all three parts are means over an item's real tokens. LN is a layer norm without
    parameters (ε = 1e-5), variances are population variances over D.

    Args:
        mean_weight: factor of the squared difference of the means.
        variance_weight: factor of the absolute difference of the variances.
        weight: factor of the squared difference after LN. It is part of the objective; a term's weight multiplies all three.

    Raises:
        ValueError: a negative weight, shapes that differ, a mask of another shape than [B, T].

    Source: Sun et al. 2020 (MobileBERT), arXiv 2004.02984, with LN and weights of the authors' released training.
    """

    name = "feature_map_transfer"
    formula = (
        "(1/n) Σ_i (weight · mean_d (LN(s_i) − LN(t_i))² + mean_weight · (mean_d s_i − mean_d t_i)² + "
        "variance_weight · |var_d s_i − var_d t_i|), i over the n real tokens"
    )
    source = "Sun et al. 2020 (MobileBERT), arXiv 2004.02984"
    bibtex = """
        @inproceedings{sun2020mobilebert,
            title = {{MobileBERT}: a Compact Task-Agnostic {BERT} for Resource-Limited Devices},
            author = {Sun, Zhiqing and Yu, Hongkun and Song, Xiaodan and Liu, Renjie and Yang, Yiming and Zhou, Denny},
            booktitle = {Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics},
            year = {2020},
            eprint = {2004.02984},
            archiveprefix = {arXiv},
        }
    """

    def __init__(self, *, mean_weight: float = 5000.0, variance_weight: float = 5.0, weight: float = 100.0) -> None:
        super().__init__()
        for field, value in (("mean_weight", mean_weight), ("variance_weight", variance_weight), ("weight", weight)):
            require(value >= 0, self.name, field, value, "use a value of 0 or more")
        self.mean_weight, self.variance_weight, self.map_weight = mean_weight, variance_weight, weight

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        real = self.real(student, mask)
        s, t = (side if mask is None else zero_padding(side, real) for side in (student, teacher))
        maps = F.layer_norm(s, s.shape[2:]) - F.layer_norm(t, t.shape[2:])
        (s_variance, s_mean), (t_variance, t_mean) = (torch.var_mean(x, dim=2, correction=0) for x in (s, t))
        shape = self.map_weight * maps.square().mean(2)
        level = self.mean_weight * (s_mean - t_mean).square()
        spread = self.variance_weight * (s_variance - t_variance).abs()
        return token_mean(shape + level + spread, real)


class AttentionObjective(TokenObjective):
    """Base class of objectives on attention matrices [B, heads, T, T] (queries, keys), which have no adapters."""

    knowledge: ClassVar[Knowledge] = "relation"
    ndims: ClassVar[tuple[int, ...]] = (4,)

    def _agree(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> bool:
        return student == teacher and student[2] == student[3]

    def _remedy(self) -> str:
        return f"equal shapes [batch, heads, tokens, tokens] are needed; {OTHER_HEADS}"

    def counted(self, signal: Tensor, mask: Tensor | None) -> Tensor | None:
        return token_pairs(self.real(signal, mask))


@registry.register("attention_scores")
class AttentionScores(AttentionObjective):
    """Mean squared difference of attention scores before the softmax, over heads and an item's real (query, key) pairs.

    Scores [B, heads, T, T] of equal shapes, QKᵀ/√d. Entries at padded keys (−∞, say) do not count; the authors' code sets them
    to zero and averages over them.

    Raises:
        ValueError: shapes that differ (head counts among them), a mask of another shape than [B, T].

    Source: Jiao et al. 2020 (TinyBERT), arXiv 1909.10351.
    """

    name = "attention_scores"
    formula = "(1/(heads · n²)) Σ_h Σ_{ij} (s_{hij} − t_{hij})², i, j over the n real tokens"
    source = "Jiao et al. 2020 (TinyBERT), arXiv 1909.10351"
    bibtex = HiddenStates.bibtex
    expects = ("attention scores [B, heads, T, T]",)
    tap_kinds = ("scores",)

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        if mask is None:
            return mean_squared_difference(student, teacher)
        real = token_pairs(self.real(student, mask))
        squares = (student - teacher).masked_fill_(~real, 0.0).square()  # in place, since these matrices are large
        return squares.sum((1, 2, 3)) / (student.shape[1] * real.sum((1, 2, 3)).clamp_min(1))


@registry.register("attention_distributions")
class AttentionDistributions(AttentionObjective):
    """Kullback-Leibler divergence of attention distributions: summed over real keys, mean over heads and real queries.

    Distributions [B, heads, T, T] of equal shapes, after the softmax and before dropout; each row sums to 1 over the real keys.
    Within logarithms a probability below 1e-30 counts as 1e-30 and has no gradient, so that 0 log 0 = 0 and the loss is finite
    if the student's probability is 0.

    Raises:
        ValueError: shapes that differ (head counts among them), a mask of another shape than [B, T], a teacher's probability
            outside [0, 1].

    Source: Wang et al. 2020 (MiniLM), arXiv 2002.10957; the same loss is in MobileBERT, arXiv 2004.02984.
    """

    name = "attention_distributions"
    formula = "(1/(heads · n)) Σ_h Σ_i Σ_j t_{hij} (log t_{hij} − log s_{hij}), i, j over the n real tokens"
    source = "Wang et al. 2020 (MiniLM), arXiv 2002.10957"
    bibtex = """
        @inproceedings{wang2020minilm,
            title = {{MiniLM}: Deep Self-Attention Distillation for Task-Agnostic Compression of Pre-Trained Transformers},
            author = {Wang, Wenhui and Wei, Furu and Dong, Li and Bao, Hangbo and Yang, Nan and Zhou, Ming},
            booktitle = {Advances in Neural Information Processing Systems},
            year = {2020},
            eprint = {2002.10957},
            archiveprefix = {arXiv},
        }
    """
    expects = ("attention distributions [B, heads, T, T]",)
    tap_kinds = ("attention",)
    exempt: ClassVar[Mapping[str, str]] = {
        "stationary": "the gradient is −1 for all keys of a row, and zero behind a softmax, which keeps their sum at 1"
    }

    def compare(self, student: Tensor, teacher: Tensor, *, target: Any, mask: Any, index: Any) -> Tensor:
        real = self.real(student, mask)
        return token_mean(attention_divergence(student, teacher, token_pairs(real)).mean(1), real)

    def check_values(self, student: Any, teacher: Any, mask: Tensor | None) -> None:
        super().check_values(student, teacher, mask)
        counted = torch.where(token_pairs(self.real(teacher, mask)), teacher, 0.0)
        if bool(((counted < 0) | (counted > 1.01)).any()):  # half precision rounds
            raise ValueError(
                f"{self.name}: the teacher signal holds values from {float(counted.min()):.3g} to {float(counted.max()):.3g}; "
                "probabilities are needed (`attention_scores` compares what comes before the softmax)"
            )
