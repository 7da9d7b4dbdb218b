"""Students, their controls and a verdict: the whole job in Python, from models and data to a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from limbeck.core.terms import Term
from limbeck.data import Items, as_items
from limbeck.engine import Run, Stage
from limbeck.engine.training import TermFactory, Training
from limbeck.evaluation import RunCost, TermGraph, Verdict
from limbeck.evaluation.targets import check_targets
from limbeck.experiment.arms import TrainedArm, best_row, models_by_arm, run_cost, train_arm
from limbeck.experiment.caching import CachePlan, plan_cache
from limbeck.experiment.checks import SeenItems, check_experiment, check_folder, check_shared, try_teachers
from limbeck.experiment.evaluate import evaluate_arms
from limbeck.experiment.experiment import Experiment
from limbeck.experiment.plan import STUDENT, TEACHER, Plan
from limbeck.experiment.plans import make_plans
from limbeck.tasks import Classification, Task
from limbeck.teacher_cache import CacheConfig
from limbeck.utils import distributed
from limbeck.utils.argument_types import require_sequence


class Distillation:
    """Distils students, trains their controls, and evaluates all of them.

    One student and one teacher:

        job = Distillation(student, teacher, terms=[Term(HardTargets(), weight=0.1), Term(SoftTargets(), weight=0.9)])
        student = job.fit(train)
        print(job.evaluate(test).sentence())

    That is short for the general form, with any actors and stages:

        Distillation(
            actors={"peers.a": net_a, "peers.b": net_b},
            stages=[Stage([Update(terms, trains="peers.*")], epochs(30))],
            evaluate={"a": "peers.a", "b": "peers.b", "both": Ensemble("peers.*")},
        )

    Args:
        student: a module (every seed starts from its current weights), or a function that builds one (every seed starts from
            random weights of that seed), or `FromTeacher`. The actor of this name.
        teacher: a trained module; the frozen actor of this name. None: no teacher, or one among `actors`.
        terms: of a single update that trains the student, or a function that makes them; None: Hinton's method.
        actors: further models by name: a module, a builder, or `trained(...)`, `frozen(...)`, `average(...)`, `snapshot(...)`
            with options. What an update trains is trained, all others are frozen.
        stages: instead of `terms`.
        evaluate: what is evaluated, by the name of its result: a reference (`"peers.a"`, `"student:exits.layer1"`,
            `"student@small"`) or an `Ensemble`. The first decides which state and which seed is best. The name `teacher` is
            what the results are compared with. Default: the student, or else every trained actor; compared with `teacher`.
        training: how all arms are trained.
        control: whether what is evaluated is also trained on labels only, with the same data, views, steps and optimizer.
        controls: further controls by name, each with the arguments that differ: `terms`, `stages`, `actors`, `student`,
            `training`, `source` (of all updates that name one, or a mapping from sources to others; updates that can train
            nothing on it are left out), `equal` ("steps", or "compute": it trains for as many floating-point operations).
        control_training: another training for the control, if the student's would put it at a disadvantage.
        seeds: all arms are trained for each.
        folder: where checkpoints, log and verdict are written; None: nothing is written.
        targets: goals by name, checked in the verdict.
        task: None: classification.
        name: in the verdict.
        student_options, teacher_options: how the models run, as `Actor` takes it: `{"channels_last": True}`, a precision.
        cache: caches the teacher's outputs, so that each is computed once; see `CacheConfig`. All arms then see the same few
            views of an item again and again. Other frozen actors: `frozen(model, cache=CacheConfig())`.
        resume: whether a run in the folder is continued.
        allow_shared_items: whether to go on if all test items are training or validation items too, which is refused otherwise.

    Raises:
        ValueError: arguments that exclude each other, unknown names, a trained actor that is frozen, a control with a teacher.
    """

    def __init__(
        self,
        student: Any = None,
        teacher: nn.Module | None = None,
        *,
        terms: TermFactory | Sequence[Term] | None = None,
        actors: Mapping[str, Any] | None = None,
        stages: Sequence[Stage] | None = None,
        evaluate: Mapping[str, Any] | None = None,
        training: Training | None = None,
        control: bool = True,
        controls: Mapping[str, Mapping[str, Any]] | None = None,
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
        allow_shared_items: bool = False,
    ) -> None:
        check_seeds(seeds)
        given = {"student": student, "teacher": teacher, "terms": terms, "actors": actors, "stages": stages}
        teacher_options = {**(teacher_options or {}), **({} if cache is None else {"cache": cache})}
        options = {STUDENT: dict(student_options or {}), TEACHER: teacher_options}
        plans = make_plans(
            {**given, "evaluate": evaluate, "training": training, "options": options, "task": task},
            control=control,
            control_training=control_training,
            controls=controls or {},
        )
        folder = Path(folder).expanduser() if folder is not None else None
        self.experiment = Experiment(
            plans, task or Classification(), folder=folder, resume=resume, name=name, allow_shared_items=allow_shared_items
        )
        self.seeds, self.targets, self.name = tuple(seeds), dict(targets or {}), name
        self.trained: list[TrainedArm] = []  # in the order of training
        self.class_names: list[str] | None = None  # of the training data
        self.has_classes = False
        self.seen: SeenItems | None = None  # what the last training learned from and chose by
        self.term_graph: TermGraph | None = None

    # --- training ----------------------------------------------------------------------------------------------------

    def check(self, train: Any = None, *, validation: Any = None, test: Any = None) -> None:
        """Checks that data, models and terms fit together; `fit` does so too.

        Raises:
            ValueError: something does not fit; the message has the values of both sides.
        """
        train, validation, test = map(self.experiment.readable, (train, validation, test))
        self.term_graph = check_experiment(self.experiment, train, validation, test, seed=self.seeds[0])
        check_targets(self.targets, self.plan.evaluate)

    def fit(self, train: Any = None, validation: Any = None) -> nn.Module:
        """Trains all arms for every seed; returns `best`.

        Args:
            train, validation: `Items`, or what `limbeck.data.as_items` makes of a pair (inputs, labels), a path or a data set.
                No training data if all updates name a source of their own.
        """
        train, validation = (data if data is None else as_items(data) for data in (train, validation))  # hashed once
        distributed.initialize()
        check_folder(self.experiment)
        self.check(train, validation=validation)
        train, validation = self.experiment.readable(train), self.experiment.readable(validation)
        self.class_names = None if train is None else train.class_names
        self.has_classes = train is not None and train.has_classes
        validation = validation and validation.align_classes(self.class_names, "validation data", strict=self.has_classes)
        try_teachers(self.experiment, train if validation is None else validation)
        self.seen = SeenItems.of(self.experiment, train, validation)
        self.trained = []
        for seed in self.seeds:
            for arm in self.experiment.plans:
                self.trained.append(train_arm(self.experiment, arm, seed, train, validation))
        return self.best

    def plan_cache(self, train: Items, actor: str = TEACHER) -> CachePlan:
        """Returns which outputs of a frozen actor its cache holds for these items, and where; close it after use.

        Raises:
            ValueError: there is no cache, or something does not fit.
        """
        self.check(train)
        source = self.experiment.source(self.experiment.readable(train), self.plan, ahead=False)
        return plan_cache(self.experiment, self.plan, actor, source)

    # --- what the trainings gave -------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        """The actors, stages and results of what is distilled."""
        return self.experiment.plan

    @property
    def arms(self) -> dict[str, list[nn.Module]]:
        """The trained models, in the order of the seeds, by arm: `student`, `control`, of several results `RESULT/ARM`."""
        return models_by_arm(self.trained, self.experiment.plans)

    @property
    def scores(self) -> dict[str, list[float]]:
        """The best validation metric of each training, by the name of the arm."""
        names = dict.fromkeys(arm.name for arm in self.trained)
        return {name: [arm.score for arm in self.trained if arm.name == name] for name in names}

    @property
    def runs(self) -> list[Run]:
        return [arm.run for arm in self.trained]

    @property
    def best(self) -> nn.Module:
        """The model of the first result that did best on validation data; of the first seed without any. The test set has no
        part in it."""
        return next(iter(self.best_models.values()))

    @property
    def best_models(self) -> dict[str, nn.Module]:
        """The models of the best seed by result; see `best`."""
        row = best_row(self.trained, higher_is_better=self.experiment.task.higher_is_better)
        return dict([arm.models for arm in self.trained if arm.name == STUDENT][row])

    @property
    def cost(self) -> RunCost:
        return run_cost(self.trained)

    @property
    def cache_folders(self) -> dict[str, Path]:
        """The caches that the last training used, by the frozen actor whose outputs they hold."""
        return next((dict(arm.cache_folders) for arm in reversed(self.trained) if arm.cache_folders), {})

    # --- evaluation --------------------------------------------------------------------------------------------------

    def evaluate(self, test: Any) -> Verdict:
        """Evaluates all arms on the test set and compares them.

        Of several processes each computes a part of the predictions; the first one measures the models, one at a time, and
        writes. All return its verdict.

        Raises:
            ValueError: nothing is trained yet, or all test items are training or validation items.
        """
        if not self.trained:
            raise ValueError("there is nothing to evaluate yet; call fit() first")
        test = self.experiment.readable(test).align_classes(self.class_names, "test data", strict=self.has_classes)
        allowed = self.experiment.allow_shared_items
        shared = distributed.on_first_process(lambda: check_shared(self.seen, test, allowed=allowed))  # type: ignore[arg-type]
        described = {"name": self.name, "targets": self.targets, "term_graph": self.term_graph, "shared_items": shared}
        return evaluate_arms(self.experiment, self.trained, test, seeds=self.seeds, **described)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raises `ValueError` unless there is at least one seed, and none twice."""
    require_sequence("seeds", seeds, int, "(0, 1, 2)")
    if not seeds:
        raise ValueError("seeds: expected at least one, such as seeds=(0, 1, 2)")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: {list(seeds)} holds one twice; give each once, such as seeds=(0, 1, 2)")
