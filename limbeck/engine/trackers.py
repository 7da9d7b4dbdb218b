"""Experiment trackers of Accelerate, by name: TensorBoard, Weights & Biases, MLflow and others."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from limbeck.utils import distributed
from limbeck.utils.optional_packages import MissingPackageError
from limbeck.utils.registry import nearest_names

TENSORBOARD = "tensorboard"
PACKAGES = {  # modules that each needs, and what installs it
    TENSORBOARD: ("tensorboard", "tensorboard"),
    "wandb": ("wandb", "wandb"),
    "mlflow": ("mlflow", "mlflow"),
    "comet_ml": ("comet_ml", "comet-ml"),
    "aim": ("aim", "aim"),
    "clearml": ("clearml", "clearml"),
    "dvclive": ("dvclive", "dvclive"),
    "swanlab": ("swanlab", "swanlab"),
    "trackio": ("trackio", "trackio"),
}
LONGEST = 250  # characters of a value, which some trackers limit


def check_trackers(names: Sequence[str]) -> None:
    """Refuses trackers that cannot be used, before anything is trained.

    Raises:
        ValueError: an unknown name; the message has the nearest.
        MissingPackageError: its package is not installed; the message has the command that installs it.
    """
    check_tracker_names(names)
    for name in names:
        module, package = PACKAGES[name]
        if importlib.util.find_spec(module) is None:
            raise MissingPackageError(f"trackers: {name} is not installed: pip install {package}")


def check_tracker_names(names: Sequence[str]) -> None:
    """Raises `ValueError` for a name that no tracker has."""
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"trackers: there is no {name!r}; nearest: {', '.join(nearest_names(name, list(PACKAGES)))}")


class Trackers:
    """The trackers of one training, or of the verdict of a run. The first process writes for all.

    Args:
        names: of the trackers.
        folder: where they write what they keep in files.
        project: name of the run, under which a tracker groups its trainings.
        run: name of this training, such as "student, seed 0".
        config: settings of the training.
    """

    def __init__(
        self, names: Sequence[str], folder: Path | None, *, project: str, run: str, config: Mapping[str, Any] | None = None
    ) -> None:
        self.names = list(names) if folder is not None and distributed.rank() == 0 else []
        self.folder, self.project, self.run = folder or Path(), project, run
        self.config = flat({"run": project, "training": run, **(config or {})})
        self._started: list[Any] = []

    def start(self) -> None:
        """Starts all trackers and gives them the settings."""
        if not self.names:
            return
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS  # imported here, because it takes long

        check_trackers(self.names)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in self.names:
            kind: Any = LOGGER_TYPE_TO_CLASS[name]
            places = (str(self.folder),) if kind.requires_logging_directory else ()
            tracker = kind(TENSORBOARD if name == TENSORBOARD else self.project, *places, **self._options(name))
            tracker.start()
            if name == TENSORBOARD:  # its own hyperparameters would be a further run in a folder with the time as its name
                tracker.writer.add_text("settings", _as_markdown(self.config))
            else:
                tracker.store_init_configuration(self.config)
            self._started.append(tracker)

    def log(self, values: Mapping[str, float], step: int | None = None) -> None:
        for tracker in self._started:
            tracker.log(dict(values), step=step)

    def log_text(self, name: str, text: str) -> None:
        """Logs a text where a tracker has a place for it: TensorBoard as text, others among the settings."""
        for kind, tracker in zip(self.names, self._started, strict=True):
            if kind == TENSORBOARD:
                tracker.writer.add_text(name, text)
            else:
                tracker.store_init_configuration({name: text[:LONGEST]})

    def finish(self) -> None:
        """Finishes the trackers. `Accelerator.end_training` would end the process group too, which the next training needs."""
        for tracker in self._started:
            tracker.finish()
        self._started = []

    def _options(self, name: str) -> dict[str, Any]:
        """What a tracker is told besides the project: the name of the training, and the folder for its files."""
        folder, named = str(self.folder), self.run
        options: dict[str, dict[str, Any]] = {
            "wandb": {"name": named, "group": self.project, "dir": folder, "reinit": True},
            "mlflow": {"run_name": named, "logging_dir": os.environ.get("MLFLOW_TRACKING_URI", str(self.folder / "mlruns"))},
            "trackio": {"name": named},
            "swanlab": {"experiment_name": named, "logdir": str(self.folder / "swanlog")},
            "clearml": {"task_name": named},
            "dvclive": {"dir": str(self.folder / "dvclive")},
        }
        return options.get(name, {})


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str | int | float | bool]:
    """Nested settings as `training.batch_size: 64`; what is no number is a text."""
    found: dict[str, str | int | float | bool] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{name}.")
        elif isinstance(value, bool | int | float):
            found[name] = value
        else:
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            found[name] = text[:LONGEST]
    return found


def _as_markdown(values: Mapping[str, Any]) -> str:
    return "\n".join(["| setting | value |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in values.items())])
