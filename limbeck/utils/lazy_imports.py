"""Lazy imports: names of a package that are loaded on first use, so that importing the package stays fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_attributes(package: str, homes: Mapping[str, Sequence[str]], modules: Sequence[str] = ()) -> Callable[[str], Any]:
    """Returns a module-level `__getattr__` (PEP 562) that imports names on first use.

    Args:
        package: name of the package that exports them.
        homes: for each module, the names that it defines.
        modules: submodules of the package that are exported themselves.
    """
    home = {name: module for module, names in homes.items() for name in names}

    def load_attribute(name: str) -> Any:
        if name in home:
            return getattr(import_module(home[name]), name)
        if name in modules:
            return import_module(f"{package}.{name}")
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return load_attribute
