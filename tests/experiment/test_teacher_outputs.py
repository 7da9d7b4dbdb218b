"""Which teacher outputs a cache has to hold."""

from __future__ import annotations

from pathlib import Path

import torch

from limbeck import Distillation
from limbeck.core.criterion import Criterion
from limbeck.core.teachers import Ensemble
from limbeck.core.terms import Term
from limbeck.data import Items
from limbeck.experiment.teacher_outputs import TeacherOutputs
from limbeck.objectives import AttentionDistributions, ForwardKL, HardTargets, Hint, LogitMSE, SoftTargets
from limbeck.teacher_cache import CacheConfig
from tests.architecture.conftest import Blobs, net
from tests.experiment.tiny_classifiers import QUICK
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
    assert TeacherOutputs.read_by([labels, outputs, features]) == TeacherOutputs(frozenset({"logits", "2"}), top_k=False)


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


def test_whether_the_largest_logits_are_enough_depends_on_the_arguments_of_the_objective() -> None:
    enough = [SoftTargets(temperature=1), ForwardKL(), SoftTargets()]
    terms = [Term(enough[0]), Term(enough[1]), Term(enough[2], temperature=1)]
    assert all(TeacherOutputs.read_by([of_points(term)]).top_k for term in terms)
    changing = Term(SoftTargets(temperature=1), temperature={"linear": {"start": 1, "end": 2}})
    others = [Term(SoftTargets()), Term(ForwardKL(temperature=2)), Term(SoftTargets(temperature=1, standardize=True)), changing]
    assert not any(TeacherOutputs.read_by([of_points(term)]).top_k for term in others)


def test_hintons_method_with_a_cache_trains_on_many_classes(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    items = Items.from_tensors(torch.randn(400, 6, generator=generator), torch.arange(400) % 200)
    job = Distillation(net(8, classes=200), net(16, classes=200), training=QUICK, cache=CacheConfig(tmp_path / "cache"))
    job.fit(items)
    assert job.cache_folders
