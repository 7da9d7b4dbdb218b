"""Distillation as a loss of Sentence Transformers: its trainer, its data sets and its evaluators stay.

    from limbeck.integrations.sentence_transformers import DistillationLoss

    loss = DistillationLoss(student, teacher, terms=[Term(objectives.get("embedding_cosine"))])
    SentenceTransformerTrainer(student, args, train_dataset=data, loss=loss).train()

The data set has one or several columns of texts; the loss of a batch is that of all of them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.core.actors import Actors, frozen, trained
from limbeck.core.batch import DEFAULT_VIEW, Batch
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import EMBEDDING, preserve_modes
from limbeck.core.schedules import Constant
from limbeck.core.terms import Term
from limbeck.data.text.tokenizer_alignment import vocabulary_difference
from limbeck.integrations import checks
from limbeck.integrations.position_limits import Positions
from limbeck.utils import distributed

SCORES = "scores"
TEXTS = ("a text", "another one")  # what the shapes of embeddings are found with
SHORTEN = "set student.max_seq_length = {limit}"


class DistillationLoss(nn.Module):
    """Σ_k weight_k · value_k of terms on embeddings, and on the scores that embeddings are made for.

    A term compares embeddings [columns·B, D], all columns of texts together, or with `student="scores"` the scores
    [B, columns − 1] of the first column's text, the query, with those of all others, its passages, the positive first:

        terms = [Term(objectives.get("embedding_mse")), Term(objectives.get("margin_mse"), student="scores", weight=0.1)]

    The teacher is asked live, about the tokens that the student reads; or what it says was computed before and is the data
    set's `label`, with columns − 1 passages and D the teacher's width:

        [B, D]               the embedding that every column shall have (a sentence and its translation)
        [B, columns, D]      an embedding for each column
        [B, columns − 1]     scores, where all terms compare scores
        [B, columns − 2]     by how much the positive is scored above each negative; where all terms compare margins

    Parameters of the terms (adapters) belong to the loss: the optimizer of a `SentenceTransformerTrainer` has them, the saved
    student does not. That trainer keeps no loss in its checkpoints.

    Args:
        student: the `SentenceTransformer` that is trained.
        teacher: another one with the same tokenizer; None where the labels are what it says. It is put into evaluation mode,
            out of the graph and on the student's device, runs in its own precision, and is no part of `state_dict`.
        terms: what is compared; weights and temperatures are numbers.
        width: D of embeddings that are labels; the student's when omitted.
        similarity: scores are dot products or cosines.
        seed: what the initial weights of adapters are drawn from.

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
            raise ValueError("terms: none are given; hand over one at least, such as Term(objectives.get('embedding_cosine'))")
        for term in terms:
            _check_term(term)
        if teacher is not None:
            _check_teacher(student, teacher)
            teacher.requires_grad_(False).eval()
        self.model = student  # the name under which the trainer puts a wrapped student in its place
        self._models = {"teacher": teacher}  # no submodule: neither trained nor saved
        read_by = {"student": student} | ({} if teacher is None else {"teacher": teacher})
        self._positions = [Positions.of(model, who, SHORTEN) for who, model in read_by.items()]
        self.similarity = similarity
        ours, theirs = self._example(width)
        self.width = theirs.shape[1]
        self.texts = _criterion([term for term in terms if not _reads_scores(term)], ours, theirs, seed)
        grid = torch.eye(2, device=ours.device)  # scores of two passages: their number changes no shape
        self.scores = _criterion([_on_scores(term) for term in terms if _reads_scores(term)], grid, grid, seed)

    @property
    def teacher(self) -> nn.Module | None:
        return self._models["teacher"]

    def _example(self, width: int | None) -> tuple[Tensor, Tensor]:
        """What student and teacher say about two texts: [2, D] each."""
        model: Any = self.model
        given = {
            name: value.to(model.device) if isinstance(value, Tensor) else value
            for name, value in model.preprocess(list(TEXTS)).items()
        }
        with torch.no_grad(), preserve_modes(model):
            ours = _embed(model.eval(), given)
            if self.teacher is None:
                return ours, torch.eye(2, width or ours.shape[1], device=ours.device)
            try:
                return ours, self._ask(given, ours.device)
            except Exception as error:
                raise ValueError(
                    f"teacher: it cannot read what the student's tokenizer makes, {', '.join(given)} ({error}); embed the "
                    "texts beforehand, as the data set's label"
                ) from error

    def _ask(self, features: dict[str, Any], device: torch.device) -> Tensor:
        """The teacher's embeddings of one column."""
        teacher: Any = self.teacher
        if teacher.device != device:
            teacher.to(device)
        with torch.no_grad():
            return _embed(teacher, features)

    # --- every step --------------------------------------------------------------------------------------------------

    def forward(self, sentence_features: Iterable[dict[str, Any]], labels: Tensor | None = None) -> dict[str, Tensor]:
        """The weighted value of each term; their sum is the loss."""
        columns = list(sentence_features)
        for positions in self._positions:
            for features in columns:
                positions.refuse_longer(features)
        ours = [_embed(self.model, features) for features in columns]
        if self.teacher is None:
            theirs, scores = self._labels(labels, len(columns))
        else:
            theirs, scores = [self._ask(features, ours[0].device) for features in columns], None
        values = {} if self.texts is None else _weighted(self.texts, torch.cat(ours), torch.cat(theirs))
        if self.scores is not None:
            if len(columns) < 2:
                raise ValueError("terms: scores need a query and its passages, and the data set has one column of texts")
            scores = self._score(theirs) if scores is None else scores
            found = _weighted(self.scores, self._score(ours), scores)
            values |= {f"{name}.{SCORES}" if name in values else name: value for name, value in found.items()}
        return values

    def _score(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Of the query with each passage: [B, columns − 1]."""
        wide = [one.to(torch.promote_types(one.dtype, torch.float32)) for one in embeddings]
        query, *passages = [F.normalize(one, dim=-1) for one in wide] if self.similarity == "cosine" else wide
        return torch.stack([(query * passage).sum(-1) for passage in passages], 1)

    def _labels(self, labels: Tensor | None, columns: int) -> tuple[list[Tensor], Tensor | None]:
        """Labels as the teacher's embeddings of each column, or as its scores."""
        if labels is None:
            raise ValueError("labels: without a teacher the data set needs a column `label` with what it says, or hand it over")
        if self.texts is None and labels.ndim < 3:
            return [], _as_scores(labels, columns)
        if labels.ndim == 2 and self.scores is None:
            embeddings = [labels] * columns
        elif labels.ndim == 3 and labels.shape[1] == columns:
            embeddings = list(labels.unbind(1))
        else:
            raise ValueError(
                f"labels: shape {tuple(labels.shape)} does not fit {columns} columns of texts; embeddings are [batch, columns, "
                "width], or [batch, width] where all columns shall have the same and no term compares scores"
            )
        if labels.shape[-1] != self.width:
            raise ValueError(f"labels: embeddings of width {labels.shape[-1]}; hand over width={labels.shape[-1]}")
        return embeddings, None

    def get_config_dict(self) -> dict[str, Any]:
        """What a model card says about this loss."""
        criteria = [one for one in (self.texts, self.scores) if one is not None]
        weights = {term.name: term.weight(0.0) for one in criteria for term in one.terms}  # type: ignore[operator]
        return {"terms": weights, "similarity": self.similarity}

    @property
    def citation(self) -> str:
        """The papers behind the terms, as BibTeX."""
        criteria = [one for one in (self.texts, self.scores) if one is not None]
        return "\n".join(dict.fromkeys(term.objective.bibtex for one in criteria for term in one.terms))


def _reads_scores(term: Term) -> bool:
    return term.student in (SCORES, f"student:{SCORES}")


def _on_scores(term: Term) -> Term:
    return replace(term, student="student", teacher=None)


def _check_term(term: Term) -> None:
    name = term.name or term.objective.name
    known = ("student", "teacher", SCORES, f"student:{SCORES}", f"teacher:{SCORES}", None)
    for side in (term.student, term.teacher):
        if isinstance(side, str | None) and side not in known:
            raise ValueError(
                f"term {name!r}: it taps {side!r}; a loss of Sentence Transformers compares embeddings, or {SCORES!r}. For "
                "layers inside, use limbeck.Criterion in a loop of your own"
            )
    for what, value in (("weight", term.weight), ("temperature", term.temperature)):
        if value is not None and not isinstance(value, Constant):
            raise ValueError(f"term {name!r}: its {what} is a schedule, and a loss is not told the progress; use a number")


def _check_teacher(student: nn.Module, teacher: nn.Module) -> None:
    if student is teacher:
        raise ValueError("teacher: the same model as the student; hand over a deep copy, or another one")
    checks.precision(teacher)
    tokenizers: list[Any] = [getattr(model, "tokenizer", None) for model in (student, teacher)]
    known = [one.get_vocab() for one in tokenizers if hasattr(one, "get_vocab")]
    apart = vocabulary_difference(*known) if len(known) == 2 else None
    if apart is not None:
        raise ValueError(
            f"teacher: its tokenizer knows other tokens than the student's ({apart}), so it cannot read the student's ids; "
            "embed the texts beforehand, as the data set's label"
        )


def _criterion(terms: Sequence[Term], ours: Tensor, theirs: Tensor, seed: int) -> Criterion | None:
    """Terms on what both models have said already."""
    if not terms:
        return None
    actors = {"student": trained(nn.Identity(), reads="student"), "teacher": frozen(nn.Identity(), reads="teacher")}
    criterion = Criterion(copy.copy(terms), actors=Actors(actors), example=_batch(ours.cpu(), theirs.cpu()), seed=seed)
    for parameter in criterion.parameters():
        parameter.register_hook(_mean_over_ranks)  # type: ignore[no-untyped-call]  # processes share the student only
    return criterion.to(ours.device)


def _batch(ours: Tensor, theirs: Tensor) -> Batch:
    return Batch({DEFAULT_VIEW: {"student": ours, "teacher": theirs}})


def _weighted(criterion: Criterion, ours: Tensor, theirs: Tensor) -> dict[str, Tensor]:
    values = criterion(_batch(ours, theirs))
    return {term.name: term.weight(0.0) * values[term.name] for term in criterion.terms if term.name in values}  # type: ignore[operator]


def _embed(model: nn.Module, features: dict[str, Any]) -> Tensor:
    embedding: Tensor = model(dict(features))[EMBEDDING]  # a model writes into what it is given
    return embedding


def _as_scores(labels: Tensor, columns: int) -> Tensor:
    """Scores [B, columns − 1]; margins become scores whose positive has 0."""
    rows = labels[:, None] if labels.ndim == 1 else labels
    if rows.shape[1] == columns - 1:
        return rows
    if rows.shape[1] == columns - 2:
        return torch.cat([torch.zeros_like(rows[:, :1]), -rows], 1)
    raise ValueError(
        f"labels: shape {tuple(labels.shape)} does not fit a query and {columns - 1} passages; scores are "
        f"[batch, {columns - 1}], margins [batch, {columns - 2}]"
    )


def _mean_over_ranks(gradient: Tensor) -> Tensor:
    return distributed.all_reduce_sum(gradient) / distributed.world_size()
