"""The loss: terms on embeddings, and on the scores of queries with their passages."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import EMBEDDING, preserve_modes
from limbeck.core.terms import Term
from limbeck.integrations.position_limits import PositionLimits
from limbeck.integrations.sentence_transformers.checks import SCORES, require_outputs, require_readable
from limbeck.integrations.sentence_transformers.labels import as_embeddings, as_scores
from limbeck.utils import distributed

EXAMPLE_TEXTS = ("a text", "another one")  # their embeddings give the shapes
REMEDY = "set student.max_seq_length = {limit}"


class TermValues(dict[str, Tensor]):
    """Values by term that can be weighted and summed as one number can, which losses around this one do."""

    def __mul__(self, factor: float | Tensor) -> TermValues:
        return TermValues({name: factor * value for name, value in self.items()})

    __rmul__ = __mul__

    def __add__(self, other: Mapping[str, Tensor] | float) -> TermValues:
        if not isinstance(other, Mapping):
            return TermValues({name: value + other for name, value in self.items()})
        return TermValues({name: torch.as_tensor(self.get(name, 0.0) + other.get(name, 0.0)) for name in {**self, **other}})

    __radd__ = __add__


class DistillationLoss(nn.Module):
    """Σ_k weight_k · value_k of terms on embeddings, and on the scores that are computed from embeddings.

    A term compares embeddings [columns·B, D], all columns of texts together, or with `student="scores"` the scores
    [B, columns − 1] of the first column's text, the query, with those of all others, its passages, the positive first:

        terms = [Term(objectives.get("embedding_mse")), Term(objectives.get("margin_mse"), student="scores", weight=0.1)]

    The teacher runs at every step, on the tokens that the student reads; or its outputs were computed before and are the data
    set's `label`, with columns − 1 passages and D the teacher's width:

        [B, D]               the embedding of every column (a sentence and its translation)
        [B, columns, D]      an embedding for each column
        [B, columns − 1]     scores, if all terms compare scores
        [B, columns − 2]     by how much the positive is scored above each negative, if all terms compare margins

    Losses of Sentence Transformers that call others, such as `MatryoshkaLoss`, work around this one: embeddings that they cut
    are compared with those of a teacher of the student's width cut as they are; with those of another width through the first
    columns of one adapter; scores and relations with those of any teacher.

    Parameters of the terms (adapters) belong to the loss: the optimizer of a `SentenceTransformerTrainer` trains them, and the
    saved student does not contain them. That trainer does not save its loss in checkpoints.

    Args:
        student: the `SentenceTransformer` that is trained.
        teacher: another one with the same tokenizer; None if the labels are its outputs. It is put into evaluation mode and on
            the student's device, runs without gradient in its own precision, and is not part of `state_dict`.
        terms: what is compared; weights and temperatures are numbers.
        width: D of embeddings that are labels; the student's by default.
        similarity: scores are dot products or cosines.
        seed: seed of the adapters' initial weights.

    Raises:
        ValueError: tokenizers that differ, a teacher in several precisions, taps inside the models, schedules, labels of
            another shape. At the first such batch: texts longer than a model has positions for.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None = None,
        *,
        terms: Sequence[Term],
        width: int | None = None,
        similarity: Literal["dot", "cosine"] = "dot",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if similarity not in ("dot", "cosine"):
            raise ValueError(f"similarity={similarity!r}: scores are 'dot' products or 'cosine's")
        if not terms:
            raise ValueError("terms: none are given; pass at least one, such as Term(objectives.get('embedding_cosine'))")
        for term in terms:
            require_outputs(term)
        if teacher is not None:
            require_readable(student, teacher)
            teacher.requires_grad_(False).eval()
        self.model = student  # the name under which the trainer replaces a wrapped student
        self._models = {"teacher": teacher}  # no submodule: neither trained nor saved
        models = {"student": student} | ({} if teacher is None else {"teacher": teacher})
        self._limits = [PositionLimits.of_model(model, who, REMEDY) for who, model in models.items()]
        self.similarity = similarity
        ours, theirs = self._example(width)
        self.width, self.own_width = theirs.shape[1], ours.shape[1]
        self.texts = _criterion([term for term in terms if not _reads_scores(term)], ours, theirs, seed)
        grid = torch.eye(2, device=ours.device)  # scores of two passages: their number changes no shape
        self.scores = _criterion([_on_scores(term) for term in terms if _reads_scores(term)], grid, grid, seed)

    @property
    def teacher(self) -> nn.Module | None:
        return self._models["teacher"]

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> TermValues:
        """Returns the weighted value of each term; their sum is the loss."""
        columns = list(sentence_features)
        for limits in self._limits:
            for features in columns:
                limits.refuse_longer(features)
        ours = [_embed(self.model, features) for features in columns]
        if self.teacher is None:
            theirs, scores = self._read_labels(labels, len(columns), ours[0].shape[1])
        else:
            theirs, scores = [self._run_teacher(features, ours[0].device) for features in columns], None
        if self.texts is not None:
            theirs_cut = self._cut_as(ours[0], theirs)
            values = _weighted(self.texts, self._as_adapted(torch.cat(ours)), torch.cat(theirs_cut))
        else:
            values = {}
        if self.scores is not None:
            if len(columns) < 2:
                raise ValueError("terms: scores need a query and its passages, and the data set has one column of texts")
            scores = self._score(theirs) if scores is None else scores
            found = _weighted(self.scores, self._score(ours), scores)
            values |= {f"{name}.{SCORES}" if name in values else name: value for name, value in found.items()}
        return TermValues(values)

    def _cut_as(self, ours: Tensor, theirs: list[Tensor]) -> list[Tensor]:
        """The teacher's embeddings as a loss around this one has made the student's: cut, and of length 1."""
        if not hasattr(self.model.forward, "set_dim"):  # what MatryoshkaLoss puts in the place of the student's forward
            return theirs
        if self.width == self.own_width:
            return [F.normalize(one[..., : ours.shape[1]], dim=-1) for one in theirs]
        return theirs

    def _as_adapted(self, ours: Tensor) -> Tensor:
        """The student's embeddings as adapters read them: zeros in place of what is cut, which changes no relation."""
        if self.texts is None or not any(True for _ in self.texts.adapters.parameters()):
            return ours
        return F.pad(ours, (0, self.own_width - ours.shape[1]))

    def _example(self, width: int | None) -> tuple[Tensor, Tensor]:
        """The embeddings of two texts by student and teacher, [2, D] each."""
        model: Any = self.model
        features = {
            name: value.to(model.device) if isinstance(value, Tensor) else value
            for name, value in model.preprocess(list(EXAMPLE_TEXTS)).items()
        }
        with torch.no_grad(), preserve_modes(model):
            ours = _embed(model.eval(), features)
            if self.teacher is None:
                return ours, torch.eye(2, width or ours.shape[1], device=ours.device)
            try:
                return ours, self._run_teacher(features, ours.device)
            except Exception as error:
                raise ValueError(
                    f"teacher: it cannot read what the student's tokenizer returns, {', '.join(features)} ({error}); embed the "
                    "texts beforehand, as the data set's label"
                ) from error

    def _run_teacher(self, features: dict[str, Any], device: torch.device) -> Tensor:
        """The teacher's embeddings of one column."""
        teacher: Any = self.teacher
        if teacher.device != device:
            teacher.to(device)
        with torch.no_grad():
            return _embed(teacher, features)

    def _score(self, embeddings: Sequence[Tensor]) -> Tensor:
        """The scores of the query with each passage, [B, columns − 1]."""
        wide = [one.to(torch.promote_types(one.dtype, torch.float32)) for one in embeddings]
        query, *passages = [F.normalize(one, dim=-1) for one in wide] if self.similarity == "cosine" else wide
        return torch.stack([(query * passage).sum(-1) for passage in passages], 1)

    def _read_labels(self, labels: Tensor | None, columns: int, cut: int) -> tuple[list[Tensor], Tensor | None]:
        """Labels as the teacher's embeddings of each column, or as its scores. MatryoshkaLoss cuts embeddings to `cut`."""
        if labels is None:
            raise ValueError(
                "labels: without a teacher the data set needs a column `label` with its outputs; add one, or pass a teacher"
            )
        if self.texts is None and labels.ndim < 3:
            return [], as_scores(labels, columns)
        width = cut if self.width == self.own_width else self.width
        return as_embeddings(labels, columns, width, shared=self.scores is None), None

    def get_config_dict(self) -> dict[str, Any]:
        """Returns what a model card says about this loss."""
        weights = {term.name: term.weight(0.0) for term in self._terms()}  # type: ignore[operator]
        return {"terms": weights, "similarity": self.similarity}

    @property
    def citation(self) -> str:
        """The papers behind the terms, as BibTeX."""
        return "\n".join(dict.fromkeys(term.objective.bibtex for term in self._terms()))

    def _terms(self) -> list[Term]:
        return [term for criterion in (self.texts, self.scores) if criterion is not None for term in criterion.terms]


def _reads_scores(term: Term) -> bool:
    return term.student in (SCORES, f"student:{SCORES}")


def _on_scores(term: Term) -> Term:
    return replace(term, student="student", teacher=None)


def _criterion(terms: Sequence[Term], ours: Tensor, theirs: Tensor, seed: int) -> Criterion | None:
    """Terms on outputs that are computed already."""
    if not terms:
        return None
    actors = {"student": trained(nn.Identity(), reads="student"), "teacher": frozen(nn.Identity(), reads="teacher")}
    criterion = Criterion(copy.copy(terms), actors=Actors(actors), example=_batch(ours.cpu(), theirs.cpu()), seed=seed)
    for parameter in criterion.parameters():  # DDP averages the gradients of the student only
        parameter.register_hook(_mean_over_processes)  # type: ignore[no-untyped-call]
    return criterion.to(ours.device)


def _batch(ours: Tensor, theirs: Tensor) -> Batch:
    return Batch({DEFAULT_VIEW: {"student": ours, "teacher": theirs}})


def _weighted(criterion: Criterion, ours: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    values = criterion(_batch(ours, theirs))
    return {term.name: term.weight(0.0) * values[term.name] for term in criterion.terms if term.name in values}  # type: ignore[operator]


def _embed(model: nn.Module, features: dict[str, Any]) -> Tensor:
    embedding: Tensor = model(dict(features))[EMBEDDING]  # a copy, because models write into their input
    return embedding


def _mean_over_processes(gradient: Tensor) -> Tensor:
    return distributed.all_reduce_sum(gradient) / distributed.world_size()
