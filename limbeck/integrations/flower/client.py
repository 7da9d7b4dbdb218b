"""A client: what it does with its own items when the server asks, and the Flower app around it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod
from torch import Tensor, nn

from limbeck.core.actors import trained
from limbeck.data import Items
from limbeck.engine import Run, Settings, Stage, Update
from limbeck.experiment.experiment import inference_device, training_source
from limbeck.integrations.flower.kept_models import KeptModels
from limbeck.integrations.flower.records import PayloadError, from_record, require_size, to_record
from limbeck.integrations.flower.rounds import public_rows
from limbeck.methods import federated
from limbeck.recipe.federation import Federation
from limbeck.utils.seeds import mix_seeds

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
ROUND, RUN, SEED, GROUP, METHOD, COUNT = "server-round", "run", "seed", "group", "method", "num-examples"
RECIPE, PUBLIC, NUMBER = "recipe", "public", "partition-id"
MODEL = "model"  # the record of what a client keeps between rounds, where logits travel


@dataclass
class FederatedClient:
    """One client with its items. Nothing leaves it but arrays of model or logit shapes and the number of its items.

    Attributes:
        number: of the client; with seed and round it determines its training.
        public: inputs that all clients have; None: there are none.
        group: its architecture; None: the groups take turns by number.
        kept: its models of earlier rounds, where logits travel and its state in Flower ends with the server's run; None: that
            state is all.
    """

    recipe: Federation
    train: Items
    public: Items | None
    number: int
    group: str | None = None
    kept: KeptModels | None = None

    def __post_init__(self) -> None:
        names = list(self.recipe.architectures)
        self.group = self.group or names[self.number % len(names)]
        if self.group not in names:
            raise ValueError(f"group: {self.group!r} is none of the recipe's: {', '.join(names)}")

    @property
    def count(self) -> int:
        """The items that it learns from, by which its weights count in an average: those with a label, for most tasks."""
        return len(self.recipe.new_task().training_items(self.train))

    def describe(self, message: Message, context: Context) -> Message:
        """The reply to the server's first question: architecture, number of items, and what both must agree on."""
        assert self.group is not None
        shared = "" if self.public is None else self.public.fingerprint()
        config = ConfigRecord({GROUP: self.group, RECIPE: self.recipe.fingerprint(), PUBLIC: shared})
        return Message(RecordDict({CONFIG: config, METRICS: MetricRecord({COUNT: self.count})}), reply_to=message)

    def learn(self, message: Message, context: Context) -> Message:
        """Trains for a round and replies with weights, or with logits on public items."""
        require_size(message.content, self.recipe.federated.message_limit)
        config = message.content.config_records[CONFIG]
        asked, seed = cast(int, config[ROUND]), cast(int, config[SEED])
        spec = self.recipe.federated
        method = (
            federated.method(str(config[METHOD])) if str(config[METHOD]) != next(iter(spec.method)) else spec.build_method()
        )
        received = from_record(message.content.array_records[ARRAYS])
        seeds = mix_seeds(seed, self.number, asked)
        work = self._exchange_weights if method.exchanges == "weights" else self._exchange_logits
        arrays = work(method, received, asked, (seed, seeds), str(config[RUN]), context)
        reply = {
            ARRAYS: to_record(arrays, spec.upload),
            METRICS: MetricRecord({COUNT: self.count}),
            CONFIG: ConfigRecord({ROUND: asked, RUN: str(config[RUN])}),
        }
        return Message(RecordDict(reply), reply_to=message)

    def _exchange_weights(
        self, method: federated.FederatedMethod, received: Mapping[str, Tensor], asked: int, seeds: tuple[int, int], *_: Any
    ) -> Mapping[str, Tensor]:
        model = self._model(seeds[0])
        load_state(model, received)
        train_locally(self.recipe, method, model, self.train, seeds[1])
        return model.state_dict()

    def _exchange_logits(
        self,
        method: federated.FederatedMethod,
        received: Mapping[str, Tensor],
        asked: int,
        seeds: tuple[int, int],
        run: str,
        context: Context,
    ) -> Mapping[str, Tensor]:
        assert self.public is not None
        model = self._model(seeds[0])
        if MODEL in context.state:
            load_state(model, from_record(context.state.array_records[MODEL]))
        elif self.kept is not None and (earlier := self.kept.load(run, asked)) is not None:
            load_state(model, earlier)
        if received:  # from the second round on
            before = self.public.select(public_rows(method, len(self.public), seeds[0], asked - 1))
            settings = quiet(self.recipe.training.build().settings)
            task = self.recipe.new_task()
            federated.distil_consensus(method, model, before, received["logits"], task=task, seed=seeds[1], settings=settings)
        train_locally(self.recipe, method, model, self.train, seeds[1])
        context.state[MODEL] = to_record(model.state_dict())
        if self.kept is not None:
            self.kept.keep(run, asked, model.state_dict())
        rows = public_rows(method, len(self.public), seeds[0], asked)
        return {"logits": outputs_of(self.recipe, model, self.public.select(rows))}

    def _model(self, seed: int) -> nn.Module:
        assert self.group is not None
        return new_model(self.recipe, self.train, self.group, seed)


def new_model(recipe: Federation, known: Items, group: str, seed: int) -> nn.Module:
    """Returns the model of a group as it starts for a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(mix_seeds(seed, group))
        return recipe.builders(known)[group]()


def load_state(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Loads weights that were received.

    Raises:
        PayloadError: they are not those of this model.
    """
    expected = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in model.state_dict().items()}
    if problem := federated.reply_problem(state, expected):
        raise PayloadError(
            f"the weights do not fit the model of this client: {problem}. Server and clients need the same recipe, and "
            "federated.classes if a client lacks some classes"
        )
    model.load_state_dict(state)


def train_locally(recipe: Federation, method: federated.FederatedMethod, model: nn.Module, items: Items, seed: int) -> None:
    """Trains a model on a client's own labels, in place."""
    task, training = recipe.new_task(), recipe.training.build()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few classes or few items, which are what a client is
        task.prepare(None, items, [], control=True)
        source = training_source(task.training_items(items), replace(training, prefetch=0, workers=0), task)
    stage = Stage([Update(task.hard_terms("student"))], training.length, method.local_optimizer(training.optimizer))
    Run({"student": trained(model)}, [stage], source=source, seed=seed, settings=quiet(training.settings)).fit()
    model.cpu()


def outputs_of(recipe: Federation, model: nn.Module, items: Items) -> Tensor:
    """The logits `[N, C]` of a model."""
    settings = recipe.training.build().settings
    model.eval().to(inference_device(settings))
    found = recipe.new_task().outputs(model, items, autocast=settings.autocast)
    model.cpu()
    return found.float().cpu()


def quiet(settings: Settings) -> Settings:
    """The settings of a training within a round, which writes no log and shows no progress."""
    return replace(settings, progress=False, trackers=())


@contextmanager
def _numpy_seed(seed: int | None) -> Iterator[None]:
    """NumPy's global generator, from which Flower draws noise, starts from a seed, and is afterwards as before.

    Args:
        seed: None: fresh entropy of the system.
    """
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)


def client_app(find: Callable[[Context], FederatedClient], *, simulated: bool = False) -> ClientApp:
    """Returns the Flower app of clients.

    Args:
        find: the client of a context.
        simulated: draw the noise of `privacy:` from the seed, so that a simulation is a function of it. Noise that others can
            draw again hides nothing: that of real clients comes from the system.
    """

    def add_noise(message: Message, context: Context, call_next: Any) -> Message:
        privacy = find(context).recipe.federated.privacy
        if privacy is None:
            return cast(Message, call_next(message, context))
        config = message.content.config_records[CONFIG]
        drawn = mix_seeds(cast(int, config[SEED]), find(context).number, cast(int, config[ROUND]), "noise")
        with _numpy_seed(drawn % 2**32 if simulated else None):
            return cast(Message, LocalDpMod(**privacy.model_dump())(message, context, call_next))

    app = ClientApp()
    app.query()(lambda message, context: find(context).describe(message, context))
    app.train(mods=[add_noise])(lambda message, context: find(context).learn(message, context))
    return app
