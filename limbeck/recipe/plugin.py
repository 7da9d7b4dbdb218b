"""Plugins: Python files of the user, whose parts a recipe may name."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType

from torch import nn

from limbeck import models
from limbeck.recipe.errors import RecipeError
from limbeck.utils.child_processes import call_in_children

loaded_plugins: list[Path] = []  # in this process, as absolute paths; one file of a name, as parts are named after it
_executed: dict[Path, tuple[bytes, ModuleType]] = {}  # the content and the module of each file that was run


def load_plugin(path: str | Path) -> None:
    """Runs a Python file, so that recipes can name what is in it.

    Parts that the file registers keep their names. In addition, each function and each `nn.Module` class that it defines is
    a model: `make_student` in `nets/my_models.py` is called `my_models.py:make_student`. The file may import modules from
    its own folder. A file that was loaded before and has not changed since is not run again.

    Raises:
        RecipeError: there is no such file, or it fails; the message names the line.
    """
    path = Path(path)
    name = f"limbeck_plugin_{path.stem}"  # no other module's name, so that a plugin may be called test.py or models.py
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise RecipeError(f"--plugin {path}: there is no such Python file")
    own = path.resolve()  # the working directory may change before the path is read again
    content = own.read_bytes()
    if own in _executed and _executed[own][0] == content:  # its parts are registered already
        _remember(own, _executed[own][1])
        return
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        line = _line_of(error, path)
        where = f"{path}, line {line}" if line else f"{path}"
        raise RecipeError(f"--plugin {where}: {type(error).__name__}: {error}") from error
    _executed[own] = content, module
    _remember(own, module)


def _remember(own: Path, module: ModuleType) -> None:
    _register_models(module, own.name)
    loaded_plugins[:] = [*(other for other in loaded_plugins if other.name != own.name), own]
    call_in_children(__name__, "load_plugin", str(own), key=own.name)


def _line_of(error: Exception, path: Path) -> int | None:
    """Returns the last line of the file that the error passed through."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    return next((frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()), None)


def _register_models(module: ModuleType, file: str) -> None:
    """Registers the functions and module classes that the file defines itself; what it imports is not registered."""
    for name, part in vars(module).items():
        own = getattr(part, "__module__", None) == module.__name__ and not name.startswith("_")
        if own and (inspect.isfunction(part) or (inspect.isclass(part) and issubclass(part, nn.Module))):
            models.registry.register(f"{file}:{name}")(part)
