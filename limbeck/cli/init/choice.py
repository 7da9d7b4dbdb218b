"""Chooses the models of a recipe: named by flags or at prompts, built, checked on the data and described."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Generic, TypeVar

import torch
from rich.console import Console
from torch import nn

from limbeck import models
from limbeck.cli.init.data import STUDENT, TEACHER, UserData
from limbeck.cli.init.options import InitOptions, ModelOptions
from limbeck.cli.init.questions import InitError, Questions
from limbeck.cli.init.suggest import SHARE, suggest_student
from limbeck.cli.init.text import format_args
from limbeck.evaluation import number_format
from limbeck.metrics.chance import is_at_chance
from limbeck.recipe import load_plugin
from limbeck.recipe.schema.models import ActorSpec, ModelSpec, StudentSpec, TeacherSpec
from limbeck.tasks import Classification

READY_MADE = ("transformers", "timm", "torchvision")  # libraries whose models come with weights
TRIAL_ITEMS = 512  # test items on which a teacher with weights is evaluated
NAMED = "my_models.py:FUNCTION, or a registered model"

S = TypeVar("S", bound=ModelSpec)


@dataclass(frozen=True)
class Choice(Generic[S]):
    """A model of the recipe: its entry there, and the network."""

    spec: S
    network: nn.Module

    @property
    def parameters(self) -> int:
        return models.count_parameters(self.network)

    def describe(self) -> str:
        return f"{self.spec.model}{format_args(self.spec.args)}, {number_format.count(self.parameters)} parameters"


@dataclass
class Chooser:
    """Chooses the models that a paradigm needs, and prints each.

    Attributes:
        plugins: files of the user's models; those that a model names are added.
    """

    options: InitOptions
    questions: Questions
    data: UserData
    plugins: list[str]
    console: Console

    def show(self, what: str, text: str) -> None:
        self.console.print(f"{what:<8} {text}", highlight=False, markup=False, soft_wrap=True)

    def teacher(self) -> Choice[TeacherSpec]:
        """The one teacher.

        Raises:
            InitError: none, or several.
        """
        given = self.options.teachers
        if len(given) > 1:
            raise InitError(
                f"--teacher is given {len(given)} times, and --paradigm {self.options.paradigm} has one teacher; several are "
                "--paradigm multi-teacher"
            )
        return self._teacher(given[0] if given else ModelOptions(), "Teacher", TEACHER, TeacherSpec)

    def teachers(self) -> dict[str, Choice[ActorSpec]]:
        """Several teachers, `teachers.a`, `teachers.b`, …"""
        return {
            name: self._teacher(one, f"Teacher {name[-1]}", name, ActorSpec)
            for name, one in self._several("teacher", self.options.teachers)
        }

    def peers(self) -> dict[str, Choice[ActorSpec]]:
        """Several peers, `peers.a`, `peers.b`, …"""
        found = {}
        for name, one in self._several("peer", self.options.peers):
            found[name] = self._build(self._spec(one, f"Peer {name[-1]}", "peer", ActorSpec), name)
            self.show(name, found[name].describe())
        return found

    def student(self, teachers: Iterable[Choice[Any]] = (), weights: str | None = None) -> Choice[StudentSpec]:
        """The student; without a name, one of a tenth of the teacher's parameters is suggested if there is a teacher.

        Args:
            weights: from which it starts.
        """
        one, given = self.options.student, [each.network for each in teachers]
        if one.model is None and given:
            one = self._suggested(one, given[0])
        chosen = self._build(self._spec(replace(one, weights=weights), "Student", STUDENT, StudentSpec), STUDENT)
        text = chosen.describe()
        if given:
            text += f", {number_format.relative_size(sum(map(models.count_parameters, given)) / chosen.parameters)}"
        self.show(STUDENT, text + ("" if weights is None else self._accuracy(chosen, STUDENT)))
        return chosen

    def _suggested(self, one: ModelOptions, teacher: nn.Module) -> ModelOptions:
        best = suggest_student(teacher, self.data)
        size = number_format.relative_size(models.count_parameters(teacher) / best.parameters)
        shown = f"{best.model}{format_args(best.args)}, {number_format.count(best.parameters)} parameters, {size}"
        text = f"Student (nearest to 1/{SHARE} of the teacher: {shown})"
        named = self.questions.ask("--student", text, None, default=best.model)
        return ModelOptions(named, (best.args | one.args) if named == best.model else one.args, one.weights)

    def _several(self, what: str, given: list[ModelOptions]) -> Iterable[tuple[str, ModelOptions]]:
        """Names those given, or on a terminal, where none are given, two and as many more as are named there."""
        found = list(given)
        for number in itertools.count(1) if not given else ():
            more, default = ("", None) if number <= 2 else ("; nothing: no more", "")
            named = self.questions.ask(f"--{what}", f"{what.capitalize()} {number} ({NAMED}{more})", None, default)
            if not named:
                break
            found.append(ModelOptions(named))
        return ((f"{what}s.{letter}", one) for letter, one in zip(ascii_lowercase, found, strict=False))

    def _teacher(self, one: ModelOptions, text: str, role: str, kind: type[S]) -> Choice[S]:
        named = self.questions.ask("--teacher", f"{text} ({NAMED})", one.model)
        fields: dict[str, Any] = {"model": self._model_name(named), "args": one.args, **self._reads(role)}
        optional = None if self.questions.interactive else ""
        question = "Its weights (nothing: it is trained first)"
        weights = self.questions.ask("--teacher-weights", question, one.weights or optional, "")
        if weights:
            fields["weights"] = weights
        elif fields["model"] not in READY_MADE:
            fields["training"] = {}
        chosen = self._build(kind.model_validate(fields), role)
        self.show(role, chosen.describe() + self._accuracy(chosen, role))
        return chosen

    def _spec(self, one: ModelOptions, text: str, role: str, kind: type[S]) -> S:
        named = self.questions.ask(f"--{role}", f"{text} ({NAMED})", one.model)
        fields = {"model": self._model_name(named), "args": one.args, "weights": one.weights, **self._reads(role)}
        return kind.model_validate(fields)

    def _reads(self, role: str) -> Mapping[str, str]:
        field = self.data.reads.get(STUDENT if role == STUDENT else TEACHER)
        return {} if field is None else {"reads": field}

    def _build(self, spec: S, role: str) -> Choice[S]:
        """Builds the model and checks that it reads the data."""
        actor = STUDENT if role == STUDENT else TEACHER
        with torch.random.fork_rng(devices=[]):
            network = spec.new(*self.data.sizes(actor)).eval()
        Classification().check(network, self.data.test_items.for_actor(actor), role, self.data.test.path)
        return Choice(spec, network)

    def _model_name(self, named: str) -> str:
        """Returns the name for the recipe. A Python file given here is given explicitly, so it is run as a plugin."""
        file, _, function = named.partition(":")
        if not file.endswith(".py"):
            return named
        if file not in self.plugins:
            load_plugin(file)
            self.plugins.append(file)
        name = Path(file).name
        if not function:
            known = ", ".join(each for each in models.names() if each.startswith(name))
            raise InitError(f"{named}: which of its models? {known}")
        return f"{name}:{function}"

    def _accuracy(self, chosen: Choice[Any], role: str) -> str:
        """Returns the accuracy of a teacher with weights on some test data; that of guessing shows wrong inputs or classes."""
        if getattr(chosen.spec, "training", None) is not None:
            return ", to be trained first"
        some = self.data.test_items.for_actor(STUDENT if role == STUDENT else TEACHER).labelled()
        some = some.select(torch.randperm(len(some), generator=torch.Generator().manual_seed(0))[:TRIAL_ITEMS])
        task = Classification()
        right = task.compute_metrics(task.outputs(chosen.network, some), some)[task.metric.name]
        text = f", right on {number_format.percent(right)} of {len(some)} test items"
        assert some.target is not None
        most_frequent = float(some.target.bincount().max()) / len(some)
        if is_at_chance(round(right * len(some)), len(some), most_frequent):
            text += (
                ":\n         no better than guessing. Are its classes in the order of the data's? "
                "Does it normalise its inputs itself? Images come as numbers in [0, 1]"
            )
        return text
