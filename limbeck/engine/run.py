"""The training loop. A run is a list of stages, a stage is steps, a step is one pass over the updates of its stage."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from limbeck.core.actors import Actor, Actors
from limbeck.core.counted_items import as_tensor, count_items, global_counts
from limbeck.core.forward_cache import ForwardCache
from limbeck.core.source import Source
from limbeck.engine.binding import BoundUpdate, bind_updates
from limbeck.engine.carried_terms import carry_terms
from limbeck.engine.checkpoint import Checkpoints
from limbeck.engine.clock import Clock
from limbeck.engine.compilation import CompiledModels
from limbeck.engine.events import apply_events
from limbeck.engine.freezing import TrainableParameters, require_trainable
from limbeck.engine.gradient_checkpointing import check_checkpointing, checkpointing
from limbeck.engine.interrupts import InterruptHandler, stopped
from limbeck.engine.metrics_log import MetricsLog, report_chosen_taps, report_terms_built_anew
from limbeck.engine.observer import BatchObserver
from limbeck.engine.run_state import (
    check_same_stages,
    distinct_sources,
    load_actors,
    load_sources,
    load_updates,
    run_state,
)
from limbeck.engine.seeding import seed_dropout
from limbeck.engine.settings import Settings
from limbeck.engine.sharding import gather_state, restore_whole, shard_actors
from limbeck.engine.sharding_checks import check_sharding
from limbeck.engine.source_checks import check_sources, pacing_source
from limbeck.engine.stage_progress import StageProgressBar
from limbeck.engine.stages import Stage, resolve_stages, with_stage_actors
from limbeck.engine.step_batches import DrawnBatch, StepBatches
from limbeck.engine.sync_batch_norm import synchronized_batch_norm
from limbeck.engine.term_averages import add_piece, read_weight_statistics
from limbeck.engine.trackers import Trackers
from limbeck.engine.untrained_parameters import UntrainedParameters
from limbeck.engine.validation import Validation, Validator
from limbeck.utils import distributed
from limbeck.utils.seeds import mix_seeds

if TYPE_CHECKING:
    from accelerate import Accelerator


class Run:
    """Trains actors through a list of stages.

    Whatever the method: an actor collects gradient only where a term needs it; actors that an update does not train stay
    bit-identical, buffers included; each reference is computed once per step; a term that trains nothing stops the run at its
    first step; selection uses validation data only.

    Args:
        actors: by name; see `trained`, `frozen`, `average`, `snapshot`.
        stages: in order.
        source: of the updates that name none.
        seed: with the stages and the actors it determines the weights, bit for bit on a CPU.
        settings: precision, accumulation, checkpoints, logs.
        validation: how the best state is chosen; None: the last one is kept.
        folder: of checkpoints and logs; None: nothing is written.
        log: a log file other than `log.jsonl` in the folder, which several trainings can share.

    Raises:
        ValueError: an update trains an actor whose role is not `trained`.
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
        self.actors = actors if isinstance(actors, Actors) else Actors(with_stage_actors(actors, stages))
        self.stages, self.source, self.seed = resolve_stages(stages, self.actors), source, seed
        self.settings, self.clock = settings or Settings(), Clock()
        self.folder = Path(folder) if folder is not None else None
        distributed.initialize()
        self.rank = distributed.rank()
        self.accelerator = _accelerator(self.settings)
        self.device = self.accelerator.device
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "float16")
        file = Path(log) if log is not None else self.folder and self.folder / "log.jsonl"
        self.log = MetricsLog(file, self.settings.labels, _trackers(self.settings, self.folder, seed))
        self.checkpoints = Checkpoints(self.folder / "checkpoints") if self.folder else None
        self.validator = Validator(validation, self.actors, self.log, self.folder and self.folder / "checkpoints" / "best")
        self.sources = distinct_sources(self.stages, source)
        _prepare(self.actors, self.stages, self.source, self.settings, self.device)  # before anything looks at parameters
        self.trainable = TrainableParameters(self.actors)
        self.untrained = UntrainedParameters(self.actors, self.stages)
        self.compiled = CompiledModels(self.actors, self.settings.compile)
        self.interrupt = InterruptHandler()
        self.updates: list[BoundUpdate] = []  # of the current stage
        self._steps: Iterator[None] | None = None  # those that are left; None before the start

    def fit(self, *, resume: bool = False) -> Run:
        """Trains to the end; with `resume`, from the newest checkpoint of the folder, if there is one.

        Raises:
            ValueError: the folder holds the checkpoints of another training.
            Interrupted: Ctrl-C was pressed; a checkpoint is written first.
            NonFiniteError: a loss became NaN; the last checkpoint is complete.
            DeadTermError: a term gives no gradient.
        """
        self._steps = self._start(resume=resume)
        return self.advance()

    def advance(self, steps: int | None = None) -> Run:
        """Trains for so many more steps, or to the end of the run; the next call goes on from there.

        A run in pieces gives the weights of one `fit`, bit for bit. Between pieces the process is as it was before: no signal
        handler, number of threads, random state or gradient flag of the run is left.
        """
        if self._steps is None:
            self._steps = self._start(resume=False)
        with self.interrupt, _threads(self.settings.threads), _random_state(self.device), self.trainable:
            for _ in itertools.islice(self._steps, steps):
                pass
        if self.clock.finished:
            restore_whole(self.actors)
        return self

    def _start(self, *, resume: bool) -> Iterator[None]:
        """The steps of all stages that are left."""
        if self.checkpoints is not None and not resume and self.checkpoints.found():
            raise ValueError(f"{self.folder} holds checkpoints; continue with resume=True or choose another folder")
        state = self.checkpoints.newest() if self.checkpoints is not None and resume else None
        if state is not None:
            check_same_stages(state, self.stages, self.folder)
            self.clock = Clock(**state["clock"])
        self.log.file.rewind(self.clock.updates)
        if self.clock.finished:
            load_actors(state, self.actors)
            return
        self.log.trackers.start()
        for number in range(self.clock.stage, len(self.stages)):
            yield from self._run_stage(number, state)
            state = None
        self.clock.finished = True
        self._save()
        self.log.trackers.finish()
        for source in self.sources:
            source.close()
        if self.interrupt.requested:  # during the last step: this training is complete, and the next must not start
            raise stopped("the end of a training", kept=self.folder is not None)

    def load_best(self) -> nn.Module:
        """Loads the best state by validation into the evaluated actor and returns it; the last state if none was chosen."""
        return self.validator.load_best(chosen=self.clock.best is not None)

    def _run_stage(self, number: int, state: Mapping[str, Any] | None) -> Iterator[None]:
        total, steps_per_epoch = self._enter_stage(number, state)
        began, logged, items = time.perf_counter(), time.perf_counter(), 0
        with StageProgressBar(self.settings, self.stages[number].name, total, self.clock.step) as bar:
            while self.clock.step < total:
                items += self._run_step(total)
                self.clock.step += 1
                bar.advance_to(self.clock.step)
                at_end = self.clock.step == total
                at_epoch = steps_per_epoch is not None and self.clock.step % steps_per_epoch == 0
                if self.clock.step % self.settings.log_every == 0 or at_end:
                    now = time.perf_counter()
                    values = self.log.write_means(self.clock, steps_per_epoch, read_weight_statistics(self.updates))
                    bar.show(values, items / max(now - logged, 1e-9))
                    logged, items = now, 0
                stop = self.validator.evaluate_if_due(self.clock, at_epoch=at_epoch, at_end=at_end)
                self.clock.wall_s += time.perf_counter() - began
                if stop:
                    break
                if not at_end:
                    self._save_if_due(at_epoch)
                    yield
                began = time.perf_counter()
        self.validator.finish(self.clock)
        apply_events(self.stages[number].on_exit, self.actors, self.trainable, seed=self.seed, number=number)
        for one in self.updates:
            one.criterion.probes.close()
        self.clock.stage, self.clock.step = number + 1, 0
        if number + 1 < len(self.stages):
            self._save()
            yield

    def _enter_stage(self, number: int, state: Mapping[str, Any] | None) -> tuple[int, int | None]:
        """Binds the updates, restores their state, and returns the numbers of steps of the stage and of an epoch."""
        stage = self.stages[number]
        self.trainable.replay(self.stages[:number], stage)
        load_sources(state, self.sources)
        within = state if self.clock.step > 0 else None  # the checkpoint, if it was taken within this stage
        if within is None:
            load_actors(state, self.actors)
            apply_events(stage.on_enter, self.actors, self.trainable, seed=self.seed, number=number)
        self.validator.begin(self.stages[: number + 1], self.clock, resumed=within is not None)
        before = [one.state_dict() for one in self.updates] if state is None else state["updates"]
        self.updates = bind_updates(
            stage, self.actors, self.source, self.trainable.lr_scale, seed=self.seed, number=number, device=self.device
        )
        self.untrained.begin(number, self.updates, resumed=state is not None)
        paced = pacing_source([one.source for one in self.updates])
        total = stage.length.in_steps(paced)
        if within is not None:
            load_actors(within, self.actors)
            load_updates(within, self.updates, self.scaler)
        else:
            anew = carry_terms(self.updates, before, self.stages[: number + 1], self.source)
            report_terms_built_anew(anew, self.log, self.clock, printed=self.settings.progress)
            report_chosen_taps(self.updates, self.log, self.clock, printed=self.settings.progress)
        return total, paced.steps_per_epoch

    def _run_step(self, total: int) -> int:
        """One pass over the updates of the stage; returns the number of items."""
        seed_dropout(mix_seeds(self.seed, self.clock.stage, self.clock.step, self.rank), self.device)
        progress = self.clock.step / max(total, 1)
        items, batches = 0, StepBatches(self.clock.step, self.seed, self.settings.accumulate, self.device)
        due = [one for one in self.updates if self.clock.step % one.update.every == 0]
        for one in due:
            for repeat in range(one.update.repeat):
                items += _update(self, one, batches.draw(one, repeat), progress)
        self.actors.update_averages()
        return items

    def _save_if_due(self, at_epoch: bool) -> None:
        requested = self.interrupt.requested
        if self.settings.shard:  # all processes take part in saving; asking them at every step would hold the device up
            requested = self.clock.step % self.settings.log_every == 0 and distributed.any_process(requested)
        if requested:
            self._save()
            raise stopped(f"step {self.clock.step} of stage {self.clock.stage}", kept=self.folder is not None)
        every = self.settings.checkpoint_every
        if at_epoch if every is None else self.clock.step % every == 0:
            self._save()

    def _save(self) -> None:
        self.actors.flush_caches()  # a run that is killed and resumed computes no output twice
        if self.checkpoints is not None and (distributed.rank() == 0 or self.settings.shard):
            self.log.raise_if_not_finite()
            state = gather_state(run_state(self.clock, self.actors, self.updates, self.scaler, self.sources, self.stages))
            if distributed.rank() == 0:
                self.checkpoints.save(self.clock.updates, state)


def _update(run: Run, one: BoundUpdate, batch: DrawnBatch, progress: float) -> int:
    """One update: forward and backward pass, sum over processes, clipping, optimizer step. Returns the number of items."""
    run.trainable.activate(one)
    criterion, observer = one.criterion, BatchObserver(one)
    counted = [count_items(criterion.losses, piece) for piece in batch.pieces]
    counts = global_counts(counted, run.device)
    one.zero_gradients()
    values: dict[str, Tensor] = {}
    for number, piece in enumerate(batch.pieces):
        forward_cache = ForwardCache(
            criterion.probes,
            piece,
            criterion.plan,
            autocast=run.settings.autocast,
            seed=mix_seeds(run.seed, run.clock.stage, run.clock.step) if criterion.reads_variants else 0,
            generated=None if criterion.plan.trains_generator else batch.generated[number],
            models=run.compiled.of(criterion),
            kept=observer.references.values(),
        )
        synchronized = run.settings.sync_batch_norm and one.normalizes_batches
        blocks = one.blocks if run.settings.gradient_checkpointing else ()
        with synchronized_batch_norm(synchronized), checkpointing(blocks, synchronized=synchronized):
            losses = criterion(
                piece,
                progress=progress,
                forward_cache=forward_cache,
                counted=counted[number],
                counts=counts,
                gathered=True,
                piece=number,
            )
        if one.check and number == 0:
            one.check(losses, as_tensor(counted[0].counts, run.device), run.scaler.get_scale())
        add_piece(values, losses, criterion, progress, batch.processes)
        run.scaler.scale(losses["loss"]).backward()
        batch.keep_generated(number, forward_cache)
        observer.read(forward_cache)
        run.clock.teacher_items += forward_cache.teacher_items * batch.processes
        criterion.update_teachers(forward_cache, piece)
    run.untrained.note(one, run.trainable.frozen)
    run.clock.updates += 1
    run.log.add(values, run.clock)
    one.step(run.scaler, run.settings.clip, progress)
    observer.report(batch, values, progress, run.settings.autocast)
    run.log.add_made(one.source.read_losses())
    return batch.items


def _accelerator(settings: Settings) -> Accelerator:
    from accelerate import Accelerator  # imported here, because it takes longer than the rest of the package

    return Accelerator(cpu=settings.device == "cpu")


def _trackers(settings: Settings, folder: Path | None, seed: int) -> Trackers:
    """The trackers of a training, which is named by its arm and seed."""
    labels = {"arm": "training", "seed": seed, **settings.labels}
    named = f"{labels['arm']}, seed {labels['seed']}"
    return Trackers(settings.trackers, folder, project=settings.project, run=named, config={**labels, **settings.config})


def _prepare(actors: Actors, stages: Sequence[Stage], source: Source | None, settings: Settings, device: torch.device) -> None:
    """Moves the models to the device; all processes then hold the same weights, or their parts of them."""
    check_sources(stages, source, actors)
    check_sharding(actors, stages, source, settings)
    check_checkpointing(actors, stages, settings)
    require_trainable(actors, [name for stage in stages for update in stage.updates for name in update.trains])
    for actor in actors.values():
        distributed.broadcast_parameters(actor.model if settings.shard else actor.model.to(device))
    if settings.shard:
        shard_actors(actors, device)


@contextlib.contextmanager
def _random_state(device: torch.device) -> Iterator[None]:
    """Each step seeds the default generators; afterwards they are as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
