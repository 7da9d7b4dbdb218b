"""`Synthesis`: samples that are made by inversion, round by round, and kept."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.batch import DEFAULT_VIEW, Batch, select_rows
from limbeck.core.criterion import Criterion
from limbeck.core.model_io import preserve_modes
from limbeck.core.source import BatchPosition, Observation, Source, registry, require_counts
from limbeck.core.term_form import term
from limbeck.data.image.pipeline import Pipeline
from limbeck.data.sources.inversion import Inversion
from limbeck.data.sources.item_memory import ItemMemory, columns_of
from limbeck.data.sources.synthesis_targets import SynthesisTargets, synthesis_targets
from limbeck.utils.finite import require_finite
from limbeck.utils.seeds import mix_seeds

SHOWN = 256  # samples that are looked at after a training


@registry.register("synthesis")
class Synthesis(Source):
    """Samples made without data: in each round inputs are trained through frozen models, and go into a memory.

        images = models.get("pixels", count=256, shape=[1, 8, 8])
        bank = Synthesis("images", [Term(HardTargets(), student="teacher"), …], targets=10, steps=500)

    A round starts with new inputs: those of an actor that is called with row numbers, such as `pixels`, or a generator with a
    table of latents. It trains a copy of this actor, by terms that read any models of the run and the variant `augmented` of
    each; no model but the copy changes. What had the least loss is kept. Batches are drawn from the memory.

    The first batch of a run is of untrained samples, and the first rounds follow its update; a batch that is drawn to try out
    shapes makes nothing. Memory, number of rounds, and what terms and generator learned are in the checkpoint. Rounds compute
    in bfloat16 where the run does; in float16 they compute in float32, since their losses are not scaled.

    Args:
        actor: name of the model that makes the inputs; its attribute `rows` is the number of samples of a round.
        terms: of the loss, or their recipe form.
        steps: of a round.
        lr, generator_lr: of Adam, for pixels or latents; for all other parameters of the actor, and for what terms learn.
        targets: what the samples are to show: a number of classes, or `{dirichlet: {scales: [1, 0.1]}}`; None: nothing.
        ahead: rounds before the student's second update.
        every: updates between two further rounds; None: there are none.
        rounds: the most rounds; None: no limit.
        size: the most samples in the memory; the oldest go.
        batch_size: samples in a batch.
        view: transforms of images, such as `[horizontal_flip, {random_crop: {padding: 4}}]`, under which batches show what is
            kept. All models read the same view.
        meta: a generator starts each round from weights that are carried on, by Reptile's rule w ← w + meta · (trained − w);
            None: from new ones.

    Raises:
        ValueError: no term; a number out of range; an actor without rows.

    Source: Yin et al. 2020, arXiv 1912.08795; Fang et al. 2021, arXiv 2105.08584; meta: Fang et al. 2022, arXiv 2112.15278.
    """

    observes = ()

    reads_data = False

    def __init__(
        self,
        actor: str,
        terms: Sequence[Any],
        *,
        steps: int = 500,
        lr: float = 0.1,
        generator_lr: float = 3e-3,
        targets: Any = None,
        ahead: int = 1,
        every: int | None = None,
        rounds: int | None = None,
        size: int = 4096,
        batch_size: int = 128,
        view: Sequence[str | Mapping[str, Any]] = (),
        meta: float | None = None,
    ) -> None:
        require_counts("synthesis", steps=steps, ahead=ahead, every=every, rounds=rounds, size=size, batch_size=batch_size)
        require_finite("synthesis", {"lr": lr, "generator_lr": generator_lr})
        for field, rate in (("lr", lr), ("generator_lr", generator_lr)):
            if rate <= 0:
                raise ValueError(f"synthesis: {field} is {rate}; expected a number above 0")
        if meta is not None and not 0 < meta <= 1:
            raise ValueError(f"synthesis: meta is {meta}; expected a share above 0, at most 1")
        if isinstance(terms, str) or not terms:
            raise ValueError(f"synthesis: terms is {terms!r}; expected a list, such as [{{one_hot: {{student: teacher}}}}]")
        self.actor, self.terms = actor, [term(one) for one in terms]
        self.steps, self.lr, self.generator_lr, self.meta = steps, lr, generator_lr, meta
        self.ahead, self.every, self.rounds = ahead, every, rounds
        self.size, self.batch_size = size, batch_size
        self.view = _unmixed(view)
        self.targets: SynthesisTargets | None = None if targets is None else synthesis_targets(targets)
        self._forget()

    def _forget(self) -> None:
        self.memory = ItemMemory(self.size, "newest")
        self.rounds_made = self.updates = 0
        self.losses: dict[str, float] = {}
        self._unread: list[dict[str, float]] = []  # the losses of rounds that are not logged yet
        self._seed = 0
        self._models: dict[str, nn.Module] = {}
        self._inversion: Inversion | None = None
        self._restored: Mapping[str, Any] | None = None

    @property
    def actors(self) -> tuple[str, ...]:
        return (self.actor,)

    def fresh(self) -> Source:
        again = copy.copy(self)
        again.targets = copy.deepcopy(self.targets)
        again._forget()
        return again

    def bind(self, models: Mapping[str, nn.Module]) -> None:
        if all(models.get(name) is model for name, model in self._models.items()) and self._models:
            return  # a further stage, or another update of this one
        given = models[self.actor]
        if not isinstance(getattr(given, "rows", None), int):
            raise ValueError(
                f"synthesis: actor {self.actor!r} is {type(given).__name__}, which has no rows; expected pixels, or a "
                "generator with a table of latents (rows: …)"
            )
        self._models = dict(models)
        maker = copy.deepcopy(given).requires_grad_(True)
        if self.targets is not None:
            self.targets.bind(models, _untrained(maker))
        example = _targeted(self.targets, _row_numbers(maker), torch.Generator().manual_seed(0))
        self._inversion = Inversion(self.actor, {**models, self.actor: maker}, self.terms, example, seed=0)
        if self._restored is not None:
            self._inversion.criterion.load_state_dict(self._restored["criterion"])
            maker.load_state_dict(self._restored["maker"])

    def batch(self, position: BatchPosition) -> Batch:
        self._seed = position.seed
        if not len(self.memory):
            return self._untrained(position)
        drawn = torch.randint(len(self.memory), (self.batch_size,), generator=position.random_generator("synthesis"))
        columns = columns_of(self.memory.rows(position.part_of(drawn)))
        if len(self.view):
            columns["inputs"] = _viewed(columns["inputs"], self.view, position, self.batch_size)
        return Batch(**columns)

    @torch.no_grad()
    def _untrained(self, position: BatchPosition) -> Batch:
        """Samples as they are before a round."""
        maker = self._bound.maker
        rows = torch.randint(len(_row_numbers(maker)), (self.batch_size,), generator=position.random_generator("synthesis"))
        with preserve_modes(maker):
            made = maker.eval()(rows.to(self._device))
        target = None if self.targets is None else self.targets.draw(self.batch_size, position.random_generator("targets"))
        columns = columns_of(Batch({DEFAULT_VIEW: made}, target=target if target is None else target.to(self._device)))
        every = position.part_of(torch.arange(self.batch_size))
        return Batch(**{name: select_rows(column, every) for name, column in columns.items()})

    def observe(self, observation: Observation) -> None:
        self.updates += 1
        due = self.ahead if self.updates == 1 else int(self.every is not None and (self.updates - 1) % self.every == 0)
        for _ in range(due):
            if self.rounds is None or self.rounds_made < self.rounds:
                self._make(observation.autocast)

    def read_losses(self) -> Mapping[str, Tensor]:
        rounds, self._unread = self._unread, []
        names = rounds[0] if rounds else ()
        return {f"{self.actor}.{name}": torch.tensor([each[name] for each in rounds]).mean() for name in names}

    @property
    def criteria(self) -> Mapping[str, Criterion]:
        return {self.actor: self._bound.criterion}

    def made(self, models: Mapping[str, nn.Module]) -> Batch | None:
        kept = len(self.memory)
        return self.memory.rows(torch.randperm(kept, generator=torch.Generator().manual_seed(0))[:SHOWN]) if kept else None

    def _make(self, autocast: torch.dtype | None) -> None:
        """One round."""
        maker, seed = self._bound.maker, mix_seeds(self._seed, "synthesis", self.rounds_made)
        before = {name: value.clone() for name, value in maker.state_dict().items()}
        _draw_anew(maker, seed)
        if self.meta is not None and self.rounds_made:
            _carry(maker, before, 0.0)
        batch = _targeted(self.targets, _row_numbers(maker), torch.Generator().manual_seed(seed))
        rates = {"lr": self.lr, "generator_lr": self.generator_lr}
        best, values = self._bound.run(batch, steps=self.steps, **rates, seed=seed, autocast=autocast)
        if self.meta is not None and self.rounds_made:
            _carry(maker, before, self.meta)
        self.losses = {name: float(value) for name, value in values.items()}
        self._unread.append(self.losses)
        made = Batch({DEFAULT_VIEW: best}, target=batch.target)
        self.memory.add(made, torch.Generator())
        self.rounds_made += 1

    @property
    def _bound(self) -> Inversion:
        if self._inversion is None:
            raise ValueError("synthesis: batches can be computed within a run only, which binds the models")
        return self._inversion

    @property
    def _device(self) -> torch.device:
        return next(self._bound.maker.parameters()).device

    def state_dict(self) -> dict[str, Any]:
        state = {"memory": self.memory.state_dict(), "made": self.rounds_made, "updates": self.updates, "losses": self.losses}
        state["unread"] = self._unread
        if self._inversion is None:
            return {**state, **({} if self._restored is None else dict(self._restored))}
        return {
            **state,
            "criterion": self._inversion.criterion.state_dict(),
            "maker": self._inversion.maker.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.memory.load_state_dict(state["memory"])
        self.rounds_made, self.updates, self.losses = state["made"], state["updates"], dict(state["losses"])
        self._unread = [dict(each) for each in state.get("unread", [])]
        self._models, self._inversion = {}, None
        self._restored = {name: state[name] for name in ("criterion", "maker")}


def _viewed(inputs: Mapping[str, Any], view: Pipeline, position: BatchPosition, batch_size: int) -> dict[str, Any]:
    """The inputs of a batch under a view; an item that is drawn twice is seen in two."""
    places = position.part_of(torch.arange(batch_size))
    return {
        name: view(images, places, seed=position.seed, view=position.step, stream="synthesis")[0]
        for name, images in inputs.items()
    }


def _targeted(targets: SynthesisTargets | None, rows: Tensor, generator: torch.Generator) -> Batch:
    """A batch of row numbers with their targets."""
    target = None if targets is None else targets.draw(len(rows), generator).to(rows.device)
    return Batch({DEFAULT_VIEW: rows}, target=target)


def _unmixed(view: Sequence[str | Mapping[str, Any]]) -> Pipeline:
    """The transforms of single images.

    Raises:
        ValueError: unknown transforms, or such as mix items, which have no labels that could be mixed.
    """
    made = Pipeline.from_spec(view)
    if made.mixes or made.modality != "image":
        raise ValueError(f"synthesis: view is {list(view)}; expected transforms of single images, such as [horizontal_flip]")
    return made


def _draw_anew(model: nn.Module, seed: int) -> None:
    """Gives a model new weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()


def _carry(model: nn.Module, old: Mapping[str, Tensor], share: float) -> None:
    """Sets what is not of single rows to old + share · (now − old)."""
    own = getattr(model, "of_rows", ())
    for name, value in model.state_dict().items():
        if name not in own and value.is_floating_point():
            value.copy_(torch.lerp(old[name], value, share))


@torch.no_grad()
def _untrained(maker: nn.Module) -> Tensor:
    """Two samples as they are before a round."""
    with preserve_modes(maker):
        made: Tensor = maker.eval()(_row_numbers(maker)[:2])
    return made


def _row_numbers(maker: nn.Module) -> Tensor:
    count: Any = maker.rows
    return torch.arange(count, device=next(maker.parameters()).device)
