"""The command line of scripts whose figures come in parts: `python -m SCRIPT [PART …]`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path


def parts_parser(description: str | None, parts: Mapping[str, object]) -> argparse.ArgumentParser:
    """A parser of names of parts; `parsed.parts` has those that are given, or all."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", action=_OrAll, choices=[*parts, []], default=[])
    return parser


class _OrAll(argparse.Action):
    """Of `nargs="*"` argparse checks the default as if it were one of the choices, so that it must be the empty list."""

    def __call__(self, parser: object, namespace: argparse.Namespace, values: object, option: object = None) -> None:
        assert self.choices is not None
        namespace.parts = values or [name for name in self.choices if name != []]


def run_parts(description: str | None, parts: Mapping[str, Callable[[], None]]) -> None:
    """Runs the parts that are named on the command line, or all."""
    for part in parts_parser(description, parts).parse_args().parts:
        parts[part]()


def run_recipe_parts(description: str | None, parts: Mapping[str, Callable[[Path | None], None]]) -> None:
    """As `run_parts`, for parts that judge the run of a recipe; `--run DIR` names a finished one."""
    parser = parts_parser(description, parts)
    parser.add_argument("--run", type=Path, help="a finished run of the recipe")
    given = parser.parse_args()
    for part in given.parts:
        parts[part](given.run)
