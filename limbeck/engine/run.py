"""The loop. It reads from top to bottom: a run is stages, a stage is steps, a step is updates."""

from __future__ import annotations

import contextlib
import hashlib
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors, Role
from limbeck.core.batch import Batch
from limbeck.core.criterion import Criterion
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.model_io import LOGITS
from limbeck.core.source import BatchPosition, Source
from limbeck.engine.checkpoint import Checkpoints, load_checkpoint, save_checkpoint
from limbeck.engine.checks import DeadTermCheck, warn_of_same_object
from limbeck.engine.metrics_log import MetricsLog, StageProgressBar, TermAverages
from limbeck.engine.settings import Settings, Validation
from limbeck.engine.stages import Event, Freeze, LearningRateScale, Reinitialise, Snapshot, Stage, Unfreeze, Update
from limbeck.utils import distributed


class Interrupted(KeyboardInterrupt):
    """The run was stopped by the user, after writing a checkpoint."""


@dataclass
class Clock:
    """Where a run stands, and what it has cost so far."""

    stage: int = 0
    step: int = 0
    updates: int = 0
    teacher_items: int = 0
    wall_s: float = 0.0
    best: float | None = None
    waited: int = 0
    finished: bool = False


@dataclass
class BoundUpdate:
    """An update with its criterion, its parameters and its optimizers."""

    update: Update
    criterion: Criterion
    source: Source
    learners: dict[str, list[nn.Parameter]]
    parameters: list[nn.Parameter]
    check: DeadTermCheck
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)


class Run:
    """Carry out stages with a cast.

    Args:
        cast: actors by name; see `trained`, `frozen`, `average`, `snapshot`.
        stages: what is done, in order.
        source: where inputs come from, for updates that name no source of their own.
        seed: with the stages and the cast, this decides everything: same seed, same weights, bit for bit on a CPU.
        settings: precision, accumulation, checkpoints, logs.
        validation: how the best state is chosen; None: the last one counts.
        folder: where checkpoints and logs go; None: nowhere.
        log: another log file than the folder's own `log.jsonl`, so that several trainings can share one.

    What is guaranteed, whatever the method: gradient only where a term needs it; actors that an update does not train stay
    bit-identical, buffers too; each reference is computed once per step; a term that teaches nobody stops the run at its first
    step; selection reads validation data only.
    """

    def __init__(
        self,
        actors: Mapping[str, Actor],
        stages: Sequence[Stage],
        *,
        source: Source | None = None,
        seed: int = 0,
        settings: Settings | None = None,
        validation: Validation | None = None,
        folder: str | Path | None = None,
        log: str | Path | None = None,
    ) -> None:
        from accelerate import Accelerator  # here, because it takes longer to import than all of ours

        self.actors = actors if isinstance(actors, Actors) else Actors(actors)
        self.stages, self.source, self.seed = list(stages), source, seed
        self.settings, self.validation = settings or Settings(), validation
        self.folder = Path(folder) if folder is not None else None
        self.clock = Clock()
        self.forwards = 0  # of the last step, for those who count
        distributed.initialize()
        self.accelerator = Accelerator(cpu=self.settings.device == "cpu", log_with=self._trackers(), project_dir=self._logs())
        self.device = self.accelerator.device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "float16")
        self.monitor = TermAverages()
        journal = Path(log) if log is not None else self._file("log.jsonl")
        self.log = MetricsLog(journal if distributed.rank() == 0 else None, self.settings.labels)
        self.frozen_parameters: set[int] = set()  # parameters that a stage has frozen
        self.lr_scales: dict[int, float] = {}  # of those that a stage has slowed, the share of the rate at which they learn
        self._active: BoundUpdate | None = None
        self._stop = False
        for actor in self.actors.values():
            actor.model.to(self.device)
            distributed.broadcast_parameters(actor.model)
        for stage in self.stages:
            for update in stage.updates:
                for name in update.trains:
                    if self.actors[name].role is not Role.TRAINED:
                        raise ValueError(
                            f"an update trains {name!r}, whose role is {self.actors[name].role}; make it trained(…)"
                        )

    # --- the loop ----------------------------------------------------------------------------------------------------

    def fit(self, *, resume: bool = False) -> Run:
        """Train; with `resume`, go on from the newest checkpoint of the folder (or start, where there is none).

        Raises:
            ValueError: the folder holds another training's checkpoints.
            Interrupted: stopped by Ctrl-C, after a checkpoint.
            NonFiniteError: a loss became NaN; the last checkpoint is whole.
            DeadTermError: a term teaches nobody.
        """
        if self.folder is not None and not resume and self._checkpoints().found():
            raise ValueError(f"{self.folder} holds checkpoints of a training; go on with resume=True or choose another folder")
        state = self._checkpoints().newest() if resume and self.folder else None
        if state is not None:
            self.clock = Clock(**state["clock"])
        self.log.rewind(self.clock.updates)
        if self.clock.finished:
            self._restore(state)
            return self
        self._start_trackers()
        with self._catching_interrupts(), _threads(self.settings.threads):
            for number in range(self.clock.stage, len(self.stages)):
                self._run_stage(number, state)
                state = None
        self.clock.finished = True
        self._save()
        self._end_trackers()
        if self._stop:  # asked for during the last step: this training is complete, what would follow it is not begun
            raise Interrupted("stopped at the end of a training; its checkpoint is written, resume with --resume")
        return self

    def _run_stage(self, number: int, state: Mapping[str, Any] | None) -> None:
        stage = self.stages[number]
        self._replay_freezes(number)
        if state is not None and self.clock.step == 0:  # taken between two stages: this one begins now
            self._restore(state)
            state = None
        if state is None:
            for event in stage.on_enter:
                self._happen(event)
        bound = self._bind(stage)
        total = stage.length.in_steps(bound[0].source)
        self.live = bound
        if state is not None:
            self._restore(state)
        epoch = next((b.source.steps_per_epoch for b in bound if b.source.steps_per_epoch), None)
        if self.clock.step == 0:  # a resumed stage has said it before
            self._announce(bound)
        began, items, waited = time.perf_counter(), 0, time.perf_counter()
        with StageProgressBar(self._shows(), self._title(stage), total, self.clock.step) as bar:
            while self.clock.step < total:
                items += self._run_step(stage, bound, total)
                self.clock.step += 1
                done = self.clock.step
                bar.move(done)
                if done % self.settings.log_every == 0 or done == total:
                    now = time.perf_counter()
                    values = self.monitor.means()
                    bar.tell(values, items / max(now - waited, 1e-9))
                    self._note(number, epoch, values)
                    items, waited = 0, now
                at_epoch = epoch is not None and done % epoch == 0
                stop = self._validate(number, at_epoch, done == total)
                self.clock.wall_s += time.perf_counter() - began
                began = time.perf_counter()
                if done < total and not stop:
                    self._maybe_save(at_epoch)
                if stop:
                    break
        for event in stage.on_exit:
            self._happen(event)
        for one in bound:
            one.criterion.probes.close()
        self.clock.stage, self.clock.step = number + 1, 0
        if number + 1 < len(self.stages):
            self._save()

    def _run_step(self, stage: Stage, bound: Sequence[BoundUpdate], total: int) -> int:
        """One pass over the updates of a stage; returns the number of items seen."""
        _seed_dropout(_mix(self.seed, self.clock.stage, self.clock.step, distributed.rank()), self.device)
        progress = self.clock.step / max(total, 1)
        batches: dict[tuple[int, int], list[Batch]] = {}
        made: dict[tuple[int, int], list[Tensor | None]] = {}
        items = 0
        for one in bound:
            if self.clock.step % one.update.every:
                continue
            for repeat in range(one.update.repeat):
                draw = self.clock.step * one.update.repeat + repeat if one.update.fresh else self.clock.step
                key = (id(one.source), draw)
                if key not in batches:
                    batches[key] = self._draw(one.source, draw)
                    made[key] = [None] * len(batches[key])
                self._update(stage, one, batches[key], made[key], progress)
                items += sum(batch.size for batch in batches[key]) * distributed.world_size()
        self.actors.update_averages()
        return items

    def _update(
        self, stage: Stage, one: BoundUpdate, batches: Sequence[Batch], made: list[Tensor | None], progress: float
    ) -> None:
        """One update: forward, backward, sum over ranks, clip, step."""
        self._activate(one)
        criterion, plan = one.criterion, one.criterion.plan
        local = torch.stack([criterion.counts(batch) for batch in batches])
        counts = distributed.all_reduce_sum(local.sum(0)).clamp(min=1)
        for optimizer in one.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        values: dict[str, Tensor] = {}
        for piece, batch in enumerate(batches):
            given = None if plan.trains_generator else made[piece]
            forward_cache = self._read(one, batch, given)
            losses = criterion(batch, progress=progress, forward_cache=forward_cache, counts=counts, gathered=True)
            if one.check and piece == 0:
                one.check(losses, counts, self.scaler.get_scale())
            self._add_values(values, losses, criterion, progress)
            self.scaler.scale(losses["loss"]).backward()
            if forward_cache.generated is not None:
                made[piece] = forward_cache.generated.detach()
            self.forwards = forward_cache.forwards
            self.clock.teacher_items += forward_cache.teacher_items * distributed.world_size()
            criterion.update_teachers(forward_cache, batch)
        self.clock.updates += 1
        self.monitor.add(values, self.clock.updates)
        distributed.all_reduce_gradients(one.parameters)
        spec = one.update.optimizer or stage.optimizer
        for optimizer in one.optimizers.values():
            self.scaler.unscale_(optimizer)
        if self.settings.clip is not None:
            nn.utils.clip_grad_norm_(one.parameters, self.settings.clip)
        for optimizer in one.optimizers.values():
            spec.set_rate(optimizer, progress)
            self.scaler.step(optimizer)
        self.scaler.update()

    def _read(self, one: BoundUpdate, batch: Batch, made: Tensor | None) -> ForwardCache:
        return ForwardCache(
            one.criterion.probes,
            batch,
            one.criterion.plan,
            autocast=self.settings.autocast,
            seed=_mix(self.seed, self.clock.stage, self.clock.step),
            generated=made,
            models=self._compiled(one),
        )

    def _draw(self, source: Source, draw: int) -> list[Batch]:
        """This rank's pieces of one global batch, one for each accumulation step."""
        parts = self.settings.accumulate * distributed.world_size()
        places = [
            BatchPosition(draw, self.seed, micro * distributed.world_size() + distributed.rank(), parts)
            for micro in range(self.settings.accumulate)
        ]
        return [source.batch(place).to(self.device) for place in places]

    def _add_values(
        self, values: dict[str, Tensor], losses: Mapping[str, Tensor], criterion: Criterion, progress: float
    ) -> None:
        """Add one piece's share to the values of the global batch. A relation over the gathered batch is computed in full by
        every rank and must count once."""
        for term in criterion.terms:
            if term.name in losses:
                share = losses[term.name].detach() / (distributed.world_size() if term.objective.over_batch else 1)
                values[term.name] = values[term.name] + share if term.name in values else share
                total = term.weight(progress) * share  # type: ignore[operator]
                values["loss"] = values["loss"] + total if "loss" in values else total

    # --- binding a stage ---------------------------------------------------------------------------------------------

    def _bind(self, stage: Stage) -> list[BoundUpdate]:
        """Build criteria (adapters included) first, then the optimizers that train them."""
        models = {name: actor.model for name, actor in self.actors.items()}
        bound = []
        for position, update in enumerate(stage.updates):
            source = update.source or self.source
            if source is None:
                raise ValueError("an update names no source and the run has none; hand over source=…")
            source.bind(models)
            seed = _mix(self.seed, self.clock.stage, position)
            criterion = Criterion(update.terms, actors=self.actors, trains=update.trains, generator=source.generator, seed=seed)
            criterion.build(source.batch(BatchPosition(0, self.seed)), samples=source.samples)
            if self.device.type != "cpu":  # value checks wait for the device; the dry run has made them once
                for term in criterion.terms:
                    term.objective.validate = False
            warn_of_same_object(criterion)
            learners = {name: list(self.actors[name].model.parameters()) for name in update.trains}
            parameters = [*(p for ps in learners.values() for p in ps), *criterion.parameters()]
            bound.append(BoundUpdate(update, criterion, source, learners, parameters, DeadTermCheck(criterion, learners)))
        self._make_optimizers(stage, bound)
        return bound

    def _make_optimizers(self, stage: Stage, bound: Sequence[BoundUpdate]) -> None:
        """Makes one optimizer for each trained actor, shared by all updates of the stage that train it. The parameters of a
        criterion belong to the first actor of its update."""
        parameters: dict[tuple[str, int], list[nn.Parameter]] = {}
        for one in bound:
            spec = one.update.optimizer or stage.optimizer
            for place, name in enumerate(one.update.trains):
                group = parameters.setdefault((name, id(spec)), list(one.learners[name]))
                if place == 0:
                    group.extend(one.criterion.parameters())
        specs = {id(spec): spec for spec in (stage.optimizer, *(s.optimizer for s in stage.updates if s.optimizer))}
        built = {key: specs[key[1]].build(group, self.lr_scales) for key, group in parameters.items()}
        for one in bound:
            spec = one.update.optimizer or stage.optimizer
            one.optimizers = {name: built[name, id(spec)] for name in one.update.trains}

    def _activate(self, one: BoundUpdate) -> None:
        """Only what this update trains collects gradient; through everything else it merely passes."""
        if self._active is one:
            return
        self._active = one
        learning = {id(p) for parameters in one.learners.values() for p in parameters} - self.frozen_parameters
        learning -= {id(p) for a in self.actors.values() if a.role is not Role.TRAINED for p in a.model.parameters()}
        for actor in self.actors.values():
            if actor.role is Role.TRAINED:
                for parameter in actor.model.parameters():
                    parameter.requires_grad_(id(parameter) in learning)

    def _compiled(self, one: BoundUpdate) -> Mapping[str, Any]:
        if not self.settings.compile:
            return {}
        if not hasattr(self, "_compiled_models"):
            self._compiled_models: dict[str, Any] = {}
        for name, probe in one.criterion.probes.by_actor.items():
            if name not in self._compiled_models and set(probe.taps) == {LOGITS}:
                self._compiled_models[name] = torch.compile(self.actors[name].model)
        return self._compiled_models

    # --- what happens at the borders of stages -----------------------------------------------------------------------

    def _happen(self, event: Event) -> None:
        actor = self.actors[event.actor]
        if isinstance(event, Freeze | Unfreeze | LearningRateScale):
            self._hold(event)
        elif isinstance(event, Snapshot):
            if actor.of is None:
                raise ValueError(f"Snapshot({event.actor!r}): this actor copies no other; make it snapshot(…) or average(…)")
            actor.model.load_state_dict(self.actors[actor.of].model.state_dict())
        elif isinstance(event, Reinitialise):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(_mix(self.seed, self.clock.stage, len(event.actor)))
                self._reinitialise(actor)
        distributed.broadcast_parameters(actor.model)

    @staticmethod
    def _reinitialise(actor: Actor) -> None:
        if actor.factory is not None:
            actor.model.load_state_dict(actor.factory().state_dict())
            return
        for module in actor.model.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()

    def _hold(self, event: Freeze | Unfreeze | LearningRateScale) -> None:
        model = self.actors[event.actor].model
        roots = [model.get_submodule(path) for path in event.modules] or [model]
        ids = {id(p) for root in roots for p in root.parameters()}
        if isinstance(event, LearningRateScale):
            self.lr_scales |= dict.fromkeys(ids, event.factor)
        else:
            self.frozen_parameters = self.frozen_parameters | ids if isinstance(event, Freeze) else self.frozen_parameters - ids

    def _replay_freezes(self, number: int) -> None:
        """What earlier stages froze or slowed stays so; replayed from the stages: a resumed run needs no record of it."""
        self.frozen_parameters, self.lr_scales = set(), {}
        events = [event for earlier in self.stages[:number] for event in (*earlier.on_enter, *earlier.on_exit)]
        for event in (*events, *self.stages[number].on_enter):
            if isinstance(event, Freeze | Unfreeze | LearningRateScale):
                self._hold(event)

    # --- validation, checkpoints, logs -------------------------------------------------------------------------------

    def _validate(self, stage: int, at_epoch: bool, at_end: bool) -> bool:
        """Evaluate when it is time, keep the best; True when patience is over."""
        v = self.validation
        if v is None or not (at_end or (at_epoch if v.every is None else self.clock.step % v.every == 0)):
            return False
        model = self.actors[v.actor].model
        was_training = model.training
        with torch.no_grad():
            figures = dict(v.evaluate(model.eval()))
        model.train(was_training)
        if v.metric not in figures:
            raise ValueError(f"validation gives {', '.join(figures)}; metric {v.metric!r} is not among them")
        self.log.write(stage=stage, step=self.clock.step, update=self.clock.updates, validation=figures)
        self._track({f"validation/{name}": value for name, value in figures.items()})
        if v.better(figures[v.metric], self.clock.best):
            self.clock.best, self.clock.waited = figures[v.metric], 0
            self.best_state = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
            if self.folder is not None and distributed.rank() == 0:
                save_checkpoint(self.folder / "checkpoints" / "best", {"model": self.best_state, "figures": figures})
        else:
            self.clock.waited += 1
        return v.patience is not None and self.clock.waited >= v.patience

    def load_best(self) -> nn.Module:
        """Put the best state by validation into the evaluated actor and return it; the last state where nothing was chosen."""
        name = self.validation.actor if self.validation else "student"
        model = self.actors[name].model
        best = self.folder / "checkpoints" / "best" if self.folder else None
        if hasattr(self, "best_state"):
            model.load_state_dict(self.best_state)
        elif best is not None and best.exists():
            model.load_state_dict(load_checkpoint(best)["model"])
        return model

    def _maybe_save(self, at_epoch: bool) -> None:
        every = self.settings.checkpoint_every
        if self._stop:
            self._save()
            raise Interrupted(
                f"stopped at step {self.clock.step} of stage {self.clock.stage}; "
                + (
                    "the checkpoint is written, resume with --resume"
                    if self.folder
                    else "there is no folder, so nothing was kept"
                )
            )
        if at_epoch if every is None else self.clock.step % every == 0:
            self._save()

    def _save(self) -> None:
        if self.folder is None or distributed.rank() != 0:
            return
        self.monitor.check()
        self._checkpoints().save(self.clock.updates, self.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Everything that decides how the run goes on."""
        updates = [
            {
                "criterion": one.criterion.state_dict(),
                "optimizers": {name: optimizer.state_dict() for name, optimizer in one.optimizers.items()},
                "unchecked": dict(one.check.left),
            }
            for one in getattr(self, "live", ())
        ]
        actors = {name: actor.model.state_dict() for name, actor in self.actors.items() if actor.role is not Role.FROZEN}
        return {"clock": vars(self.clock).copy(), "actors": actors, "updates": updates, "scaler": self.scaler.state_dict()}

    def _restore(self, state: Mapping[str, Any] | None) -> None:
        """Load a checkpoint into the cast and, where it was taken within this stage, into its criteria and optimizers."""
        if state is None:
            return
        for name, tensors in state["actors"].items():
            self.actors[name].model.load_state_dict(tensors)
        if self.clock.finished or self.clock.step == 0:
            return
        for one, saved in zip(self.live, state["updates"], strict=True):
            one.criterion.load_state_dict(saved["criterion"])
            one.check.left = dict(saved["unchecked"])
            for name, optimizer in one.optimizers.items():
                optimizer.load_state_dict(saved["optimizers"][name])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])

    def _checkpoints(self) -> Checkpoints:
        assert self.folder is not None
        return Checkpoints(self.folder / "checkpoints")

    def _announce(self, bound: Sequence[BoundUpdate]) -> None:
        for one in bound:
            if one.criterion.chosen_taps and distributed.rank() == 0:
                pairs = ", ".join(f"{ours} ← {theirs}" for ours, theirs in one.criterion.chosen_taps)
                # Counted with the first update of the stage, so that resuming from before it does not keep the line.
                self.log.write(stage=self.clock.stage, update=self.clock.updates + 1, taps=one.criterion.chosen_taps)
                if self.settings.progress:
                    print(f"taps chosen (student ← teacher): {pairs}")

    def _note(self, stage: int, epoch: int | None, values: Mapping[str, float]) -> None:
        passes = {"epoch": round(self.clock.step / epoch, 4)} if epoch else {}
        self.log.write(stage=stage, step=self.clock.step, update=self.clock.updates, **passes, values=dict(values))
        self._track(values)

    def _trackers(self) -> list[str] | None:
        return list(self.settings.trackers) if self.folder is not None and self.settings.trackers else None

    def _logs(self) -> str | None:
        return str(self.folder) if self.folder is not None else None

    def _start_trackers(self) -> None:
        if self._trackers():
            self.accelerator.init_trackers("tensorboard" if "tensorboard" in self.settings.trackers else "limbeck")

    def _track(self, values: Mapping[str, float]) -> None:
        if self._trackers():
            self.accelerator.log(dict(values), step=self.clock.updates)

    def _end_trackers(self) -> None:
        if self._trackers():
            self.accelerator.end_training()

    def _file(self, name: str) -> Path | None:
        return self.folder / name if self.folder is not None else None

    def _shows(self) -> bool:
        return self.settings.progress and distributed.rank() == 0

    def _title(self, stage: Stage) -> str:
        labels = dict(self.settings.labels)
        parts = [str(labels.pop("arm", "")), *(f"{name} {value}" for name, value in labels.items()), stage.name]
        return " · ".join(part for part in parts if part) or "training"

    @contextlib.contextmanager
    def _catching_interrupts(self) -> Iterator[None]:
        """Ctrl-C asks for a checkpoint at the end of the step; a second one stops at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = True

        before = signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seed_dropout(seed: int, device: torch.device) -> None:
    """Seed what models draw from. `torch.manual_seed` would do the same, but keeps a stack trace of every call for devices that
    were never used, which costs more than a small training step."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers."""
    text = "/".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1
