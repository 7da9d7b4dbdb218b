"""Divergences between distributions over a vocabulary that language models are distilled by, beside the two KL of `tokens`.

P and Q are the teacher's and the student's distribution at a token. The mixtures keep a divergence finite where one of the two
gives a token no probability, on which KL(P‖Q) or KL(Q‖P) grows without limit.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from limbeck.core.objective import registry, require
from limbeck.core.signals import Match, TopK
from limbeck.objectives.functional.divergence import kl_divergence, log_mixture
from limbeck.objectives.functional.elementary import softened_log_probs
from limbeck.objectives.functional.top_k import log_outcomes
from limbeck.objectives.tokens import VocabularyObjective


def log_distributions(student: Tensor, teacher: Tensor | TopK, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """log P and log Q: over the vocabulary, or over the k tokens of a `TopK` teacher and one outcome for all others."""
    if isinstance(teacher, TopK):
        return log_outcomes(teacher, student)
    return softened_log_probs(teacher, temperature), softened_log_probs(student, temperature)


@registry.register("jensen_shannon")
class JensenShannon(VocabularyObjective):
    """Generalised Jensen-Shannon divergence of the distributions over the vocabulary.

    With M = βP + (1 − β)Q it is β KL(P‖M) + (1 − β) KL(Q‖M). If it is normalised, its gradient goes to that of forward KL as β
    goes to 0, and to that of reverse KL as β goes to 1. [B, T, V] gives [B, T], and exactly 0 where `mask` [B, T] marks no real
    token; [B, V] gives [B]. The teacher may be `TopK`, as for `forward_kl`; this needs temperature 1.

    Args:
        beta: the teacher's share of the mixture.
        temperature: T of both distributions.
        normalized: divide by β(1 − β), so that the loss of similar distributions hardly depends on β.

    Raises:
        ValueError: beta not between 0 and 1; temperature not above 0; shapes that differ; a mask of another shape than [B, T];
            a TopK teacher with temperature ≠ 1.

    Source: Agarwal et al. 2024 (GKD), arXiv 2306.13649.
    """

    name = "jensen_shannon"
    formula = "T² (β KL(P‖M) + (1 − β) KL(Q‖M)), M = βP + (1 − β)Q, P = p_T(t), Q = p_T(s)"
    source = "Agarwal et al. 2024 (GKD), arXiv 2306.13649"
    bibtex = """
        @inproceedings{agarwal2024onpolicy,
            title = {On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes},
            author = {Agarwal, Rishabh and Vieillard, Nino and Zhou, Yongchao and Stanczyk, Piotr and Ramos, Sabela and
                Geist, Matthieu and Bachem, Olivier},
            booktitle = {International Conference on Learning Representations},
            year = {2024},
            eprint = {2306.13649},
            archiveprefix = {arXiv},
        }
    """
    accepts_top_k = True

    def __init__(self, *, beta: float = 0.5, temperature: float = 1.0, normalized: bool = False) -> None:
        super().__init__()
        limits = "use a value above 0 and below 1; the limits are forward_kl (0) and reverse_kl (1)"
        require(0 < beta < 1, self.name, "beta", beta, limits)
        require(temperature > 0, self.name, "temperature", temperature, "use a value above 0, such as 1")
        self.beta = beta
        self.temperature = temperature
        self.normalized = normalized

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        log_p, log_q = log_distributions(student, teacher, self.temperature)
        log_m = log_mixture(log_p, log_q, self.beta)
        loss = self.beta * kl_divergence(log_p, log_m) + (1 - self.beta) * kl_divergence(log_q, log_m)
        return self.temperature**2 / (self.beta * (1 - self.beta) if self.normalized else 1) * loss


@registry.register("skew_kl")
class SkewKL(VocabularyObjective):
    """Kullback-Leibler divergence from the teacher's distribution to a mixture of both: KL(P‖αP + (1 − α)Q).

    Shapes, masks and `TopK` teachers are those of `forward_kl`, which it is with α = 0.

    Args:
        alpha: the teacher's share of the mixture.

    Raises:
        ValueError: alpha outside [0, 1); shapes that differ; a mask of another shape than [B, T].

    Source: Ko et al. 2024 (DistiLLM), arXiv 2402.03898.
    """

    name = "skew_kl"
    formula = "KL(P‖αP + (1 − α)Q), P = p(t), Q = p(s)"
    source = "Ko et al. 2024 (DistiLLM), arXiv 2402.03898"
    bibtex = """
        @inproceedings{ko2024distillm,
            title = {{DistiLLM}: Towards Streamlined Distillation for Large Language Models},
            author = {Ko, Jongwoo and Kim, Sungnyun and Chen, Tianyi and Yun, Se-Young},
            booktitle = {International Conference on Machine Learning},
            year = {2024},
            eprint = {2402.03898},
            archiveprefix = {arXiv},
        }
    """
    accepts_top_k = True

    def __init__(self, *, alpha: float = 0.1) -> None:
        super().__init__()
        require(0 <= alpha < 1, self.name, "alpha", alpha, "use a value from 0 to below 1, such as 0.1")
        self.alpha = alpha

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        log_p, log_q = log_distributions(student, teacher)
        return kl_divergence(log_p, log_mixture(log_p, log_q, self.alpha))


@registry.register("skew_reverse_kl")
class SkewReverseKL(SkewKL):
    """Kullback-Leibler divergence from the student's distribution to a mixture of both: KL(Q‖(1 − α)P + αQ).

    Shapes, masks and `TopK` teachers are those of `forward_kl`. With α = 0 it is `reverse_kl`.

    Args:
        alpha: the student's share of the mixture.

    Raises:
        ValueError: alpha outside [0, 1); shapes that differ; a mask of another shape than [B, T].

    Source: Ko et al. 2024 (DistiLLM), arXiv 2402.03898.
    """

    name = "skew_reverse_kl"
    formula = "KL(Q‖(1 − α)P + αQ), P = p(t), Q = p(s)"
    hides_errors = True  # a teacher's logit of −∞ is a probability of 0

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        log_p, log_q = log_distributions(student, teacher)
        return kl_divergence(log_q, log_mixture(log_q, log_p, self.alpha))


@registry.register("total_variation")
class TotalVariation(VocabularyObjective):
    """Total variation distance of the distributions over the vocabulary, from 0 to 1.

    Shapes, masks and `TopK` teachers are those of `forward_kl`. The gradient vanishes where both distributions are
    equal, and does not grow with their distance.

    Raises:
        ValueError: shapes that differ; a mask of another shape than [B, T].

    Source: Wen et al. 2023 (f-DISTILL), arXiv 2307.15190.
    """

    name = "total_variation"
    formula = "½ Σ_v abs(p(t)_v − p(s)_v)"
    source = "Wen et al. 2023 (f-DISTILL), arXiv 2307.15190"
    bibtex = """
        @inproceedings{wen2023fdivergence,
            title = {f-Divergence Minimization for Sequence-Level Knowledge Distillation},
            author = {Wen, Yuqiao and Li, Zichao and Du, Wenyu and Mou, Lili},
            booktitle = {Annual Meeting of the Association for Computational Linguistics},
            year = {2023},
            eprint = {2307.15190},
            archiveprefix = {arXiv},
        }
    """
    accepts_top_k = True
    hides_errors = True  # a teacher's logit of −∞ is a probability of 0

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        if isinstance(teacher, TopK):
            p, q = (side.exp() for side in log_outcomes(teacher, student))
        else:
            p, q = teacher.softmax(-1), student.softmax(-1)
        return (p - q).abs().sum(-1) / 2


@registry.register("universal_logit")
class UniversalLogit(VocabularyObjective):
    """Distance of the two distributions after sorting each: Wasserstein distance if every two tokens are equally far apart.

    The vocabularies may be different ones: the shorter distribution is padded with zeros. Which token is likely it does not
    say, so the labels have to: use it beside `hard_targets`. Student [B, T, V] and teacher [B, T, W] give [B, T], and exactly 0
    where `mask` [B, T] marks no real token; [B, V] gives [B].

    Raises:
        ValueError: batches or numbers of tokens that differ; a mask of another shape than [B, T]; a TopK teacher.

    Source: Boizard et al. 2024, arXiv 2402.12030.
    """

    name = "universal_logit"
    formula = "Σ_i abs(sort(p(t))_i − sort(p(s))_i)"
    source = "Boizard et al. 2024, arXiv 2402.12030"
    bibtex = r"""
        @article{boizard2025towards,
            title = {Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss for {LLMs}},
            author = {Boizard, Nicolas and El Haddad, Kevin and Hudelot, C{\'e}line and Colombo, Pierre},
            journal = {Transactions on Machine Learning Research},
            year = {2025},
            eprint = {2402.12030},
            archiveprefix = {arXiv},
        }
    """
    match: ClassVar[Match] = Match.NOTHING
    hides_errors = True  # a teacher's logit of −∞ is a probability of 0

    def _agree(self, student: tuple[int, ...], teacher: tuple[int, ...]) -> bool:
        return student[:-1] == teacher[:-1]

    def _remedy(self) -> str:
        return "equal batches and numbers of tokens are needed"

    def _divergence(self, student: Tensor, teacher: Any) -> Tensor:
        ours, theirs = (side.softmax(-1).sort(-1, descending=True).values for side in (student, teacher))
        longest = max(ours.shape[-1], theirs.shape[-1])
        ours, theirs = (F.pad(side, (0, longest - side.shape[-1])) for side in (ours, theirs))
        return (theirs - ours).abs().sum(-1)
