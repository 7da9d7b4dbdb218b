"""Parts of a user's own, from a Python file given by hand."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from limbeck.recipe.yaml_text import RecipeError

loaded_plugins: list[Path] = []  # by hand, in this process: who wants to go on with a run has to give them again


def load_plugin(path: str | Path) -> None:
    """Run a Python file given by hand, so that recipes can name what is in it.

    What the file registers goes by the names it chose. Besides, each function and each `nn.Module` class that it defines is
    a model: `make_student` in `nets/my_models.py` is called `my_models.py:make_student`. The file may import its neighbours.

    Raises:
        RecipeError: there is no such file, or it fails; the message names the line.
    """
    path = Path(path)
    name = f"limbeck_plugin_{path.stem}"  # no other module's name, so that a plugin may be called test.py or models.py
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RecipeError(f"--plugin {path}: there is no such Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = next(
            (frame.lineno for frame in reversed(traceback.extract_tb(error.__traceback__)) if _is_frame_of(frame, path)), None
        )
        where = f"{path}, line {line}" if line else f"{path}"
        raise RecipeError(f"--plugin {where}: {type(error).__name__}: {error}") from error
    _register_models(module, path.name)
    if path not in loaded_plugins:
        loaded_plugins.append(path)


def _is_frame_of(frame: traceback.FrameSummary, path: Path) -> bool:
    return Path(frame.filename).resolve() == path.resolve()


def _register_models(module: ModuleType, file: str) -> None:
    """Enter the functions and module classes that are the file's own; what it imports is not offered."""
    from torch import nn

    from limbeck.models import registry

    for name, part in vars(module).items():
        own = getattr(part, "__module__", None) == module.__name__ and not name.startswith("_")
        if own and (inspect.isfunction(part) or (inspect.isclass(part) and issubclass(part, nn.Module))):
            registry.register(f"{file}:{name}")(part)
