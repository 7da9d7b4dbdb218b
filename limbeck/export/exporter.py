"""Exports models in several formats, checks each file against PyTorch on the test set and measures it in its runtime."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from limbeck.data import Items, evaluation_batches
from limbeck.evaluation import Export, number_format
from limbeck.evaluation.model_cost import Latency, file_bytes
from limbeck.evaluation.statistics import Interval
from limbeck.export.base import Format, Runner, frozen_copy, move_file, no_other
from limbeck.export.catalogue import formats
from limbeck.export.check import Inputs, check_difference, largest_difference
from limbeck.export.errors import ExportError
from limbeck.export.file_info import file_info
from limbeck.export.measure import RunnerModule, describe_inputs, first, latencies, metric_of
from limbeck.export.memory import peak_memory
from limbeck.export.pytorch import PYTORCH, PyTorch
from limbeck.models.weights import weights_digest
from limbeck.tasks import Classification, Task
from limbeck.utils.disk_full import is_disk_full
from limbeck.utils.terminal import is_hidden

EXPORTS = "exports"  # subfolder of the run folder
DRAFTS = ".draft"  # subfolder of files that are being written and checked
MAX_INT8_LOSS = 0.005  # drop of the metric above which int8 gives a warning
CALIBRATION_BATCH = 64
CHECKED = 4  # items on which a file is checked before it is run on the whole test set


def export_models(
    models: Mapping[str, nn.Module],
    train: Items,
    test: Items,
    folder: Path,
    *,
    into: Sequence[str] = ("onnx",),
    precisions: Sequence[str] = ("fp32",),
    calibration_items: int = 512,
    aware: Callable[[], nn.Module] | Mapping[str, Callable[[], nn.Module]] | None = None,
    task: Task | None = None,
    readers: Mapping[str, str] | None = None,
    infos: Mapping[str, Mapping[str, Any]] | None = None,
    console: Console | None = None,
    earlier: Sequence[Export] = (),
    on_records: Callable[[list[Export]], None] = lambda records: None,
) -> list[Export]:
    """Writes every model in every format and precision to `folder/exports`, then checks and measures each file.

    A failed export becomes a record with reason and remedy, and the others continue. The models are not changed. An older file
    is replaced when its successor is checked.

    Args:
        models: by name, which names the files: "student", or the results of a run, and optionally "teacher".
        train: calibration items of int8; not used for text models.
        test: labelled items; the metric is computed on all of them. Latency and memory of text models are measured on one
            text of median length, without padding.
        into: format names.
        precisions: of "fp32" and "int8"; those that a format does not support are skipped.
        calibration_items: number of training items from which the ranges of activations are taken.
        aware: by model, or for the only one, a function that returns the model of its int8 files; called at most once.
        task: computes the metric, prepared for `test`; default: classification.
        infos: by model, what its files say of themselves; default: `limbeck.export.file_info`.
        earlier: records of `folder`, whose files in other precisions are timed again, interleaved with the new ones.
        on_records: called with records as soon as their files are in place, and again when the files of a format are timed.
        readers: by model, the actor whose inputs it reads, of items with fields or with tokens by actor; default: its name.
    Returns: one record per model in PyTorch, then one per file.
    Raises:
        MissingPackageError: a format's packages are not installed.
        OSError: the disk is full; older files are as they were.
        ValueError: an unknown format, a test set without labels.
    """
    chosen, known = _required(into), {"student": aware} if callable(aware) else dict(aware or {})
    shared = (calibration_items, known, task or Classification(), readers or {}, infos or {})
    job = _ExportJob(dict(models), train, test, folder, *shared)
    with Progress(console=console, transient=True, disable=is_hidden(console)) as bar:
        todo = bar.add_task("PyTorch", total=1 + sum(len(_precisions_of(each, precisions)) for each in chosen))
        job.drop_failing()
        records = job.pytorch_records()
        with _drafts(folder / EXPORTS / DRAFTS):
            for each in chosen:
                new: list[Export] = []
                for precision in _precisions_of(each, precisions):
                    bar.update(todo, advance=1, description=f"{each.name} {precision}")
                    new += (made := job.export_models(each, precision))
                    on_records(made)
                timed = job.timed(each, new, earlier)
                on_records(timed)
                records += timed[: len(new)]
    return records


def _required(names: Sequence[str]) -> list[Format]:
    """Returns the formats of these names, whose packages are installed."""
    found: list[Format] = [formats.get(name) for name in names]
    for each in found:
        each.require_packages(writing=True)
    return found


def _precisions_of(kind: Format, wanted: Sequence[str]) -> list[str]:
    """Returns the precisions that a format has, fp32 first: int8 relies on its check."""
    found = [precision for precision in dict.fromkeys(wanted) if precision in kind.precisions]
    return sorted(found, key=lambda precision: precision != "fp32")


@contextmanager
def _drafts(folder: Path) -> Iterator[None]:
    """Deletes the folder of drafts, also what a killed process left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def file_name(model: str, kind: Format, precision: str) -> str:
    """The name of an exported file."""
    return f"{model}-{precision}{kind.suffix}"


def failed_records(name: str, reason: str, into: Sequence[str], precisions: Sequence[str]) -> list[Export]:
    """Returns the records of a model that there is no file of, in each format and precision.

    Args:
        name: of the model.
        reason: why it cannot be exported.
        into, precisions: as of `export_models`.
    """
    chosen: list[Format] = [formats.get(each) for each in into]
    error = ExportError(reason)
    return [_failed(name, kind, each, error) for kind in chosen for each in precisions if each in kind.precisions]


def merge_records(before: Iterable[Export], new: Sequence[Export]) -> list[Export]:
    """Merges the records of a run with `new` ones, which replace those of the same model, format and precision."""
    replaced = {_kind(record) for record in new}
    return [*(record for record in before if _kind(record) not in replaced), *new]


def _kind(record: Export) -> _Kind:
    return (record.model, record.format, record.precision)


@dataclass(frozen=True)
class _File:
    """A written file with its runner and its outputs on the test set."""

    path: Path
    runner: Runner
    logits: Tensor


_Kind: TypeAlias = tuple[str, str, str]  # model, format, precision


@dataclass
class _ExportJob:
    """What all exports of a run share, computed once."""

    models: dict[str, nn.Module]
    train: Items
    test: Items
    folder: Path
    calibration_items: int
    aware: Mapping[str, Callable[[], nn.Module]]
    task: Task
    readers: Mapping[str, str]
    infos: Mapping[str, Mapping[str, Any]]
    tests: dict[str, Items] = field(default_factory=dict)  # the evaluation items, with the inputs that each model reads
    frozen: dict[str, nn.Module] = field(default_factory=dict)
    digests: dict[str, str | None] = field(default_factory=dict)  # of the weights
    reference: dict[str, Tensor] = field(default_factory=dict)  # outputs of PyTorch on the test set
    metrics: dict[str, tuple[float, Interval]] = field(default_factory=dict)  # of PyTorch on the test set
    examples: dict[str, Inputs] = field(default_factory=dict)  # for texts one of median length, so that none is padded
    checks: dict[str, Inputs] = field(default_factory=dict)  # a few test items, of texts the shortest to the longest
    quantizable: dict[str, nn.Module] = field(default_factory=dict)  # trained for int8, as far as they were needed
    broken: dict[str, Exception] = field(default_factory=dict)  # models that do not run in PyTorch, and what went wrong
    runners: dict[_Kind, Runner] = field(default_factory=dict)  # of the written files
    failures: dict[_Kind, ExportError] = field(default_factory=dict)

    def items(self, name: str, items: Items) -> Items:
        """The items with the inputs that a model reads."""
        return items.for_actor(self.readers.get(name, name))

    def calibration(self, name: str) -> list[Tensor]:
        """Training items as this model reads them; the same ones for all models."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))
        items = self.items(name, self.train).select(order[: self.calibration_items])
        return [batch.inputs["default"] for batch in evaluation_batches(items, CALIBRATION_BATCH)]

    def _model_for(self, name: str, precision: str) -> nn.Module:
        """The model that a file is written from: for int8 the one that was trained for it, if there is one."""
        if precision != "int8" or name not in self.aware:
            return self.frozen[name]
        if name not in self.quantizable:
            self.quantizable[name] = self.aware[name]()
        return self.quantizable[name]

    def drop_failing(self) -> None:
        """Leaves out the models that do not even run in PyTorch on the test set."""
        for name, model in list(self.models.items()):
            items = self.task.evaluation_items(self.items(name, self.test))
            try:
                frozen = frozen_copy(model)
                outputs = self.task.outputs(frozen, items)
                metric = metric_of(outputs, items, self.task)
                example, checks = _example(items), _several(items)
            except (RuntimeError, ValueError, TypeError, AttributeError, LookupError) as error:
                self.broken[name] = error
                del self.models[name]
            else:
                self.tests[name], self.frozen[name], self.reference[name] = items, frozen, outputs
                self.digests[name] = weights_digest(model)
                self.metrics[name], self.examples[name], self.checks[name] = metric, example, checks

    # --- PyTorch -----------------------------------------------------------------------------------------------------

    def pytorch_records(self) -> list[Export]:
        """Measures the models in PyTorch as the files are measured."""
        ones = {name: first(example) for name, example in self.examples.items()}
        times = latencies(self.frozen, ones)
        records = []
        for name, model in self.frozen.items():
            metric, ci95 = self.metrics[name]
            record = Export(
                model=name,
                format=PYTORCH,
                precision="fp32",
                bytes=file_bytes(model),
                metric=metric,
                ci95=ci95,
                latency_ms=times[name],
                peak_memory_bytes=self._memory_in_pytorch(model, self.examples[name]),
                input=describe_inputs(ones[name]),
                weights=self.digests[name],
            )
            records.append(record)
        return records

    def _memory_in_pytorch(self, model: nn.Module, example: Inputs) -> int | None:
        """Returns None if no other process can build the model."""
        with tempfile.TemporaryDirectory() as folder:
            try:
                PyTorch().write(model, Path(folder, "model"), example)
            except (ExportError, ValueError):
                return None
            return _memory(PyTorch(), Path(folder, "model"), _shape(example))

    # --- files -------------------------------------------------------------------------------------------------------

    def export_models(self, kind: Format, precision: str) -> list[Export]:
        """Exports all models in one format and precision."""
        files: dict[str, _File] = {}
        records: dict[str, Export] = {}
        for name in self.models:
            try:
                files[name] = self._written(name, kind, precision)
            except Exception as error:
                if is_disk_full(error):
                    raise
                records[name] = _failed(name, kind, precision, error)
        for name, file in files.items():
            records[name] = self._measured(name, kind, precision, file)
            move_file(file.path, self.folder / EXPORTS / file.path.name)
            self.runners[name, kind.name, precision] = file.runner
        broken = [_failed(name, kind, precision, error) for name, error in self.broken.items()]
        return [*(records[name] for name in self.models), *broken]

    def _written(self, name: str, kind: Format, precision: str) -> _File:
        """Writes one file, opens it again and checks its outputs."""
        path = self.folder / EXPORTS / DRAFTS / file_name(name, kind, precision)
        own_model = precision == "int8" and name in self.aware  # not that of the float32 file
        try:
            with no_other(precision):
                if not own_model and (failure := self.failures.get((name, kind.name, "fp32"))):
                    raise failure
            kind.write(
                self._model_for(name, precision),
                path,
                self.checks[name],
                precision=precision,
                calibration=self.calibration(name) if precision == "int8" and isinstance(self.examples[name], Tensor) else (),
                info=self.infos.get(name) or file_info(self.frozen[name], self.tests[name], result=name),
                fp32_checked=not own_model and (name, kind.name, "fp32") in self.runners,
            )
            runner = kind.open(path)
            logits = self.task.outputs(RunnerModule(runner), self.tests[name])
            if precision == "fp32":
                check_difference(logits, self.reference[name])
        except ExportError as error:
            self.failures[name, kind.name, precision] = error
            raise
        return _File(path, runner, logits)

    def timed(self, kind: Format, records: list[Export], earlier: Sequence[Export]) -> list[Export]:
        """Times all files of a format, interleaved; returns their records with the latencies, and then those of `earlier`."""
        before = [record for record in earlier if self._is_sibling(record, kind)]
        runners = {key: runner for key, runner in self.runners.items() if key[1] == kind.name}
        for record in before:
            runners[_kind(record)] = kind.open(self.folder / str(record.path))
        ones = {"\n".join(key): first(self.examples[key[0]]) for key in runners}
        found = latencies({"\n".join(key): runner for key, runner in runners.items()}, ones) if runners else {}
        times: dict[_Kind, Latency] = {key: found["\n".join(key)] for key in runners}
        return [record.model_copy(update={"latency_ms": times.get(_kind(record))}) for record in (*records, *before)]

    def _is_sibling(self, record: Export, kind: Format) -> bool:
        """Whether a record is of an older file of a model whose other precisions are written now."""
        models = {key[0] for key in self.runners if key[1] == kind.name}
        if record.format != kind.name or record.model not in models or _kind(record) in self.runners or not record.path:
            return False
        return (self.folder / record.path).is_file()

    def _measured(self, name: str, kind: Format, precision: str, file: _File) -> Export:
        metric, ci95 = metric_of(file.logits, self.tests[name], self.task)
        warning, remedy = self._loss(name, metric) if precision == "int8" else (None, None)
        example = self.examples[name]
        return Export(
            model=name,
            format=kind.name,
            precision=precision,
            path=f"{EXPORTS}/{file.path.name}",
            bytes=file.path.stat().st_size,
            metric=metric,
            ci95=ci95,
            peak_memory_bytes=_memory(kind, file.path, _shape(example)),
            max_abs_diff=largest_difference(file.logits, self.reference[name]),
            opset=kind.opset_of(file.runner),
            input=describe_inputs(example),
            warning=warning,
            remedy=remedy,
            weights=self.digests[name],
        )

    def _loss(self, name: str, metric: float) -> tuple[str | None, str | None]:
        """Returns a warning and a remedy if int8 lowers the metric too much."""
        metric_kind, before = self.task.metric, self.metrics[name][0]
        drop = before - metric if metric_kind.higher_is_better else (metric - before) / max(before, 1e-12)
        if drop <= MAX_INT8_LOSS:
            return None, None
        points = f"{number_format.number(100 * drop, 1)} " + ("points" if metric_kind.higher_is_better else "% more")
        loss = points if metric_kind.name == "accuracy" else f"{points} of {metric_kind.name}"
        if isinstance(self.examples[name], Mapping):
            return f"int8 loses {loss}", "Ship fp32"
        trained = name in self.aware
        remedy = "more epochs in export.quantization_aware" if trained else "export.quantization_aware in the recipe"
        return f"int8 loses {loss}", f"{remedy}; or ship fp32"


def _example(items: Items) -> Inputs:
    lengths = items.storage.lengths
    rows = torch.arange(min(2, len(items))) if lengths is None else lengths.argsort(stable=True)[[len(items) // 2]]
    found: Inputs = next(evaluation_batches(items.select(rows), 2)).inputs["default"]
    return found


def _several(items: Items) -> Inputs:
    """A few items to check a file on, of texts evenly from the shortest to the longest."""
    count = min(CHECKED, len(items))
    lengths = items.storage.lengths
    order = torch.arange(len(items)) if lengths is None else lengths.argsort(stable=True)
    rows = order[torch.linspace(0, len(items) - 1, count).long()]
    found: Inputs = next(evaluation_batches(items.select(rows), count)).inputs["default"]
    return found


def _shape(example: Inputs) -> tuple[int, ...]:
    """Shape of one item; for a text the number of tokens."""
    inputs = example if isinstance(example, Tensor) else next(iter(example.values()))
    return tuple(inputs.shape[1:])


def _memory(kind: Format, path: Path, shape: Sequence[int]) -> int | None:
    """Returns None if no fresh process can be started or can open the file; the file is kept nevertheless."""
    try:
        return peak_memory(kind, path, shape)
    except (ExportError, OSError):
        return None


def _failed(name: str, kind: Format, precision: str, error: Exception) -> Export:
    """Returns the record of a failed export: any error of an exporter must not end a run that has trained for hours."""
    if isinstance(error, ExportError):
        reason, remedy = error.reason, error.remedy or None
    else:
        first = next(iter(str(error).strip().splitlines()), "")
        reason, remedy = (first if isinstance(error, ValueError) else f"{type(error).__name__}: {first}"), None
    return Export(model=name, format=kind.name, precision=precision, opset=kind.opset, error=reason, remedy=remedy)
