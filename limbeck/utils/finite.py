"""Numbers that are infinite or NaN are refused wherever an argument comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any


def find_not_finite(value: Any, path: str = "") -> str | None:
    """Returns the path and the value of the first number within a value that is infinite or NaN; None if all are finite."""
    if isinstance(value, Real) and not isinstance(value, Integral) and not math.isfinite(value):  # NumPy's numbers too
        return f"{path} is {value}"
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list | tuple) else ()
    found = (find_not_finite(part, f"{path}.{name}" if path else str(name)) for name, part in parts)
    return next((each for each in found if each), None)


def require_finite(part: str, arguments: Mapping[str, Any]) -> None:
    """Raises `ValueError` for the first argument of a part that is, or holds, an infinite number or NaN."""
    if found := find_not_finite(arguments):
        raise ValueError(f"{part}: {found}; expected a finite number")
