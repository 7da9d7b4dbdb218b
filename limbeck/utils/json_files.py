"""JSON files of runs and users, with an error that names the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


class NotJsonError(ValueError):
    """A file is no JSON, or is damaged."""


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds.

    Raises:
        NotJsonError: it holds something else; the message has its path.
        OSError: it cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, or nested too deeply
        raise NotJsonError(f"{path} is not JSON, or damaged ({error})") from error
