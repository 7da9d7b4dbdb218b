"""Latency, memory and size of models and exported files on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from limbeck.data import AudioOptions
from limbeck.data.audio.options import FILE_NAME as AUDIO_FILE
from limbeck.evaluation import number_format
from limbeck.evaluation.model_cost import Latency, macs, parameters
from limbeck.export.base import Format, Runner
from limbeck.export.catalogue import formats, runtime
from limbeck.export.errors import ExportError, UnknownShapeError
from limbeck.export.measure import latencies, noise
from limbeck.export.memory import peak_memory
from limbeck.export.pytorch import PYTORCH
from limbeck.export.summary import NARROW_TERMINAL
from limbeck.models import load_model
from limbeck.models.saving import CONFIG, MODULES
from limbeck.utils.terminal import is_hidden

TOKENS = 32  # default length of a text


@dataclass(frozen=True)
class Costs:
    """One row of `limbeck profile`; values that are unknown for a file are None."""

    format: str
    path: str
    bytes: int
    latency_ms: Latency
    peak_memory_bytes: int
    parameters: int | None = None
    macs: int | None = None


def format_of(path: Path) -> Format:
    """Returns the format of a file by its suffix; a student folder is in PyTorch format.

    Raises:
        FileNotFoundError: the path does not exist.
        ExportError: the suffix is unknown.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if (path / CONFIG).is_file() or (path / MODULES).is_file():
        return runtime(PYTORCH)
    known = {each.suffix: each for name in formats if (each := runtime(name))}
    if path.suffix not in known or path.is_dir():
        raise ExportError(f"{path} is no run, no student's folder ({CONFIG}) and no {' or '.join(known)} file")
    return known[path.suffix]


def profile(paths: Mapping[str, Path], shape: Sequence[int] = (), *, console: Console | None = None) -> dict[str, Costs]:
    """Measures files and student folders by name, on random input and one thread; latency runs are interleaved.

    Args:
        shape: of one item, for files that do not contain it; default: that of another file. For texts, the number of tokens.

    Raises:
        ExportError: a file does not open, or the shape of its input is unknown.
    """
    kinds = {name: format_of(path) for name, path in paths.items()}
    runners = {name: kinds[name].open(path) for name, path in paths.items()}
    known_shape = next(
        (runner.shape for runner in runners.values() if runner.shape), tuple(shape)
    )  # those of one run read the same
    shapes = {name: _shape(runner, tuple(shape) or known_shape, paths[name]) for name, runner in runners.items()}
    exact = [each for name, path in paths.items() if (each := _exact_shape(kinds[name], runners[name], path))]
    for name in (name for name, kind in kinds.items() if kind.name == PYTORCH and not runners[name].names):
        own = _exact_shape(kinds[name], runners[name], paths[name])
        alike = (each for each in exact if len(each) == len(shapes[name]) and each[0] == shapes[name][0])
        shapes[name] = own or next(alike, shapes[name])
    times: dict[str, Latency] = {}
    for key in dict.fromkeys((shapes[name], runners[name].dtype) for name in runners):
        group = {name: runner for name, runner in runners.items() if (shapes[name], runner.dtype) == key}
        times |= latencies(group, {name: runner.like(noise(shapes[name])) for name, runner in group.items()})
    console, rows = console or Console(quiet=True), {}
    with Progress(console=console, transient=True, disable=is_hidden(console)) as bar:
        for name in bar.track(paths, description="memory"):
            rows[name] = _costs(kinds[name], paths[name], shapes[name], times[name], runners[name])
    return rows


def _costs(kind: Format, path: Path, shape: tuple[int, ...], time: Latency, runner: Runner) -> Costs:
    model = load_model(path) if kind.name == PYTORCH else None
    return Costs(
        format=kind.name,
        path=str(path),
        bytes=sum(file.stat().st_size for file in ([path] if model is None else path.rglob("*.safetensors"))),
        latency_ms=time,
        peak_memory_bytes=peak_memory(kind, path, shape),
        parameters=None if model is None else parameters(model),
        macs=None if model is None else macs(model, runner.like(noise(shape))),
    )


def _exact_shape(kind: Format, runner: Runner, path: Path) -> tuple[int, ...]:
    """The shape of an input that a file, or the options of sounds beside a model, state; a network by itself reads any size.
    Empty: nothing states it."""
    if kind.name != PYTORCH:
        return () if runner.names else runner.shape
    return AudioOptions.load(path).shape if (path / AUDIO_FILE).is_file() else ()


def _shape(runner: Runner, requested: tuple[int, ...], path: Path) -> tuple[int, ...]:
    if runner.names:
        if len(requested) > 1:
            raise ExportError(
                f"{path} is a text model, and {requested} is not a number of tokens", f"Give one, such as --shape {TOKENS}"
            )
        return requested or (TOKENS,)
    if not (runner.shape or requested):
        raise UnknownShapeError(
            f"the shape of the input of {path} is unknown", "Give that of one item, such as --shape 3,32,32"
        )
    return runner.shape or requested


def costs_table(rows: Mapping[str, Costs], width: int = 120) -> Table:
    """Returns a table with one row per model or file; a narrow terminal shows no 95th percentile."""
    table = Table(header_style="bold")
    table.add_column("", overflow="fold")
    cells_by_name = {name: _cells(row) for name, row in rows.items()}
    titles = [title for title in next(iter(cells_by_name.values()), {}) if width >= NARROW_TERMINAL or title != "p95"]
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for name, cells in cells_by_name.items():
        table.add_row(Text(name), *(cells[title] for title in titles))
    return table


def _cells(row: Costs) -> dict[str, str]:
    return {
        "parameters": number_format.count(row.parameters),
        "size": number_format.size(row.bytes),
        "MACs": number_format.count(row.macs),
        "latency": number_format.milliseconds(row.latency_ms.median),
        "p95": number_format.milliseconds(row.latency_ms.p95),
        "memory": number_format.size(row.peak_memory_bytes),
    }
