"""Which teacher outputs a cache has to hold."""

from __future__ import annotations

import torch

from limbeck.core.criterion import Criterion
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.objectives import AttentionDistributions, HardTargets, Hint, LogitMSE, SoftTargets
from tests.architecture.conftest import Blobs, net
from tests.experiment.tiny_texts import encoder


def of_points(*terms: Term) -> Criterion:
    return Criterion(terms, net(8), net(16), example=(Blobs().x[:4], Blobs().y[:4]))


def of_tokens(*terms: Term) -> Criterion:
    tokens = {"input_ids": torch.full((2, 5), 5), "attention_mask": torch.ones(2, 5, dtype=torch.int64)}
    return Criterion(terms, encoder(), encoder(), example=tokens)


def test_the_taps_of_all_stages_are_held() -> None:
    labels, outputs = of_points(Term(HardTargets())), of_points(Term(SoftTargets()))
    features = of_points(Term(Hint(), student="0", teacher="2"))
    assert TeacherOutputs.read_by([labels]) == TeacherOutputs(frozenset(), top_k=True)
    assert TeacherOutputs.read_by([labels, outputs, features]) == TeacherOutputs(frozenset({"logits", "2"}), top_k=True)


def test_the_largest_logits_are_enough_only_if_they_are_for_all_terms() -> None:
    assert not TeacherOutputs.read_by([of_points(Term(SoftTargets())), of_points(Term(LogitMSE()))]).top_k


def test_matrices_of_tokens_are_left_out_unless_there_is_nothing_else() -> None:
    matrices = of_tokens(Term(AttentionDistributions(), "attention(-1)", "attention(-1)"), Term(SoftTargets()))
    assert TeacherOutputs.read_by([matrices, of_tokens(Term(SoftTargets()))]).taps == {"logits"}
    assert TeacherOutputs.read_by([matrices]).taps == {"attention(-1)", "logits"}


def test_what_weighers_and_ensembles_read_of_the_teacher_is_held_whole() -> None:
    weighted = of_points(Term(SoftTargets(), item_weight={"entropy": {"of": "teacher"}}))
    assert TeacherOutputs.read_by([weighted]) == TeacherOutputs(frozenset({"logits"}), top_k=False)
    inner = of_points(Term(SoftTargets(), item_weight={"entropy": {"of": "teacher:2"}}))
    assert TeacherOutputs.read_by([inner]).taps == {"logits", "2"}
    assert not TeacherOutputs.read_by([of_points(Term(SoftTargets(), teacher=Ensemble(["teacher"])))]).top_k
