"""A student, its control and its verdict: the whole job in Python, from models and data to a verdict."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from limbeck.core.terms import Term
from limbeck.data import FieldStorage, Items, evaluation_batches
from limbeck.engine import Run
from limbeck.engine.training import Phase, TermFactory, Training
from limbeck.evaluation import MetricInfo, RunCost, TermGraph, Verdict, build_verdict, choose_examples, measure_costs
from limbeck.experiment.arms import CONTROL, STUDENT, TrainedArm, train_arm
from limbeck.experiment.caching import CachePlan, plan_cache
from limbeck.experiment.checks import check_experiment, check_folder
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.predict import predict_arms
from limbeck.experiment.run_files import write_run
from limbeck.methods import hinton
from limbeck.models.from_teacher import ModelOrBuilder
from limbeck.tasks import Classification, Task
from limbeck.teacher_cache import CacheConfig
from limbeck.utils import distributed


class Distillation:
    """Distils a teacher into a student, trains the control, and evaluates both.

        job = Distillation(student, teacher, terms=lambda: [Term(HardTargets(), weight=0.1), Term(SoftTargets(), weight=0.9)])
        student = job.fit(train)
        print(job.evaluate(test).sentence())

    Args:
        student: a module (every seed starts from its current weights), or a function that builds one (every seed starts from
            random weights of that seed), or `FromTeacher`.
        teacher: a trained module.
        terms: a function that makes the terms, or a list of them; None: Hinton's method.
        phases: several stages instead of `terms`.
        training: how both arms are trained.
        control: whether the same student is also trained on hard targets only, with the same data, views, steps and optimizer.
        control_training: another training for the control, if the student's would put it at a disadvantage.
        seeds: one pair of arms for each.
        folder: where checkpoints, log and verdict are written; None: nothing is written.
        targets: goals by name, checked in the verdict.
        task: None: classification.
        name: in the verdict.
        student_options, teacher_options: how the models run, as `Actor` takes it: `{"channels_last": True}`, a precision.
        cache: caches the teacher's outputs, so that each is computed once; see `CacheConfig`. Both arms then see the same few
            views of an item again and again.
        resume: whether a run in the folder is continued.
    """

    def __init__(
        self,
        student: ModelOrBuilder,
        teacher: nn.Module,
        *,
        terms: TermFactory | Sequence[Term] | None = None,
        phases: Sequence[Phase] | None = None,
        training: Training | None = None,
        control: bool = True,
        control_training: Training | None = None,
        seeds: Sequence[int] = (0,),
        folder: str | Path | None = None,
        targets: Mapping[str, float] | None = None,
        task: Task | None = None,
        name: str = "distillation",
        student_options: Mapping[str, Any] | None = None,
        teacher_options: Mapping[str, Any] | None = None,
        cache: CacheConfig | None = None,
        resume: bool = False,
    ) -> None:
        if not seeds:
            raise ValueError("seeds: expected at least one, such as seeds=(0, 1, 2)")
        if terms is not None and phases:
            raise ValueError("give terms or phases, one of the two")
        training = training or Training()
        self.experiment = Experiment(
            student,
            teacher.eval(),
            list(phases) if phases else [Phase(_term_factory(terms, task), training.length)],
            training,
            control_training or training,
            task or Classification(),
            options={"student": dict(student_options or {}), "teacher": dict(teacher_options or {})},
            cache=cache,
            folder=Path(folder) if folder is not None else None,
            resume=resume,
        )
        self.control, self.seeds, self.targets, self.name = control, tuple(seeds), dict(targets or {}), name
        self.trained: list[TrainedArm] = []  # in the order of training
        self.class_names: list[str] | None = None  # of the training data
        self.term_graph: TermGraph | None = None

    # --- training ----------------------------------------------------------------------------------------------------

    def check(self, train: Items, *, validation: Items | None = None, test: Items | None = None) -> None:
        """Checks that data, models and terms fit together; `fit` does so too.

        Raises:
            ValueError: something does not fit; the message has the values of both sides.
        """
        self.term_graph = check_experiment(self.experiment, train, validation, test, seed=self.seeds[0], control=self.control)

    def fit(self, train: Items, validation: Items | None = None) -> nn.Module:
        """Trains student and control for every seed; returns `best`."""
        distributed.initialize()
        check_folder(self.experiment)
        self.check(train, validation=validation)
        self.class_names = train.class_names
        validation = validation and validation.align_classes(train.class_names, "validation data")
        self.trained = []
        for seed in self.seeds:
            for arm in (STUDENT, CONTROL) if self.control else (STUDENT,):
                self.trained.append(train_arm(self.experiment, arm, seed, train, validation))
        return self.best

    def plan_cache(self, train: Items) -> CachePlan:
        """Returns which outputs of the teacher a cache for these items holds, and where; close it after use.

        Raises:
            ValueError: there is no cache, or something does not fit.
        """
        self.check(train)
        source = self.experiment.source(train, replace(self.experiment.training, prefetch=0))
        return plan_cache(self.experiment, self.experiment.training, source)

    # --- what the trainings gave -------------------------------------------------------------------------------------

    @property
    def arms(self) -> dict[str, list[nn.Module]]:
        """The trained models by arm, in the order of the seeds."""
        return {name: [arm.model for arm in self.trained if arm.name == name] for name in self._names}

    @property
    def scores(self) -> dict[str, list[float]]:
        """The best validation metric of each model."""
        return {name: [arm.score for arm in self.trained if arm.name == name] for name in self._names}

    @property
    def _names(self) -> list[str]:
        return list(dict.fromkeys(arm.name for arm in self.trained))

    @property
    def runs(self) -> list[Run]:
        return [arm.run for arm in self.trained]

    @property
    def best(self) -> nn.Module:
        """The student that did best on validation data; of the first seed without any. The test set has no part in it."""
        return self.arms[STUDENT][self._best_row]

    @property
    def _best_row(self) -> int:
        scores = self.scores[STUDENT]
        best = max if self.experiment.task.higher_is_better else min
        return best(range(len(scores)), key=lambda row: scores[row])

    @property
    def cost(self) -> RunCost:
        return RunCost(
            student_steps=sum(arm.run.clock.updates for arm in self.trained if arm.name == STUDENT),
            teacher_items=sum(run.clock.teacher_items for run in self.runs),
            wall_s=sum(run.clock.wall_s for run in self.runs),
        )

    @property
    def cache_folder(self) -> Path | None:
        """The teacher's cache; None if nothing was cached."""
        return next((arm.cache_folder for arm in reversed(self.trained) if arm.cache_folder is not None), None)

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, test: Items) -> Verdict:
        """Evaluates all arms on the test set and compares them.

        Of several processes the first one does it alone, so that it measures one model at a time; all return its verdict.
        """
        if not self.trained:
            raise ValueError("there is nothing to evaluate yet; call fit() first")
        if distributed.world_size() == 1:
            return self._evaluate(test)
        made = [self._evaluate(test) if distributed.rank() == 0 else None]
        torch.distributed.broadcast_object_list(made, src=0)
        assert made[0] is not None
        return made[0]

    def _evaluate(self, test: Items) -> Verdict:
        began, task, teacher = time.perf_counter(), self.experiment.task, self.experiment.teacher
        test = test.align_classes(self.class_names, "test data")
        known = task.evaluation_items(test.for_actor("student"))
        items = {"teacher": task.evaluation_items(test.for_actor("teacher"))} | dict.fromkeys(self.arms, known)
        predictions = predict_arms(self.experiment, {"teacher": [teacher], **self.arms}, items)
        example, models = next(evaluation_batches(known, 1)).inputs["default"], {"teacher": teacher, "student": self.best}
        if isinstance(test.storage, FieldStorage):  # each with the field that it reads
            theirs = next(evaluation_batches(items["teacher"], 1)).inputs["default"]
            model_costs = measure_costs({"teacher": teacher}, theirs) | measure_costs({"student": self.best}, example)
        else:
            model_costs = measure_costs(models, example)
        cost = self.cost
        verdict = build_verdict(
            predictions,
            name=self.name,
            task=task.name,
            metric=MetricInfo.of(task.metric),
            seeds=self.seeds,
            classes=known.class_names or (),
            model_costs=model_costs,
            targets=self.targets,
            cost=cost.model_copy(update={"wall_s": round(cost.wall_s + time.perf_counter() - began, 2)}),
            examples=choose_examples(predictions, known, self.seeds, self._best_row),
            term_graph=self.term_graph,
        )
        if self.experiment.folder is not None:
            best = {name: models[self._best_row] for name, models in self.arms.items()}
            write_run(self.experiment.folder, best, known, predictions, verdict)
        return verdict


def _term_factory(terms: TermFactory | Sequence[Term] | None, task: Task | None) -> TermFactory:
    if terms is None:
        return functools.partial(hinton, task=task)
    if callable(terms):
        return terms
    return lambda: copy.deepcopy(list(terms))
