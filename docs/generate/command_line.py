"""The command line as a page, from the typer application itself."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

from docs.generate.markdown import code, docstring, prose, summary, table
from limbeck import cli

EXIT_CODES = {
    0: "Done; for `distill`, all targets of the recipe are met.",
    1: "A fault of Limbeck's own; the traceback says where.",
    cli.USER_ERROR: "Something that you can mend: the message names the field, the value and the remedy.",
    cli.TARGETS_MISSED: "The run is whole and judged, but a target was missed; of `cache verify`: an answer is damaged.",
    cli.INTERRUPTED: "Stopped by Ctrl-C after a checkpoint; the message is the command that goes on.",
}

INTRODUCTION = """# Command line

`limbeck COMMAND --help` says the same in the terminal.
"""


@dataclass(frozen=True)
class Parameter:
    """One argument or option of a command."""

    name: str
    info: ArgumentInfo | OptionInfo
    kind: Any
    default: Any

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, OptionInfo)

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def repeats(self) -> bool:
        return any(get_origin(one) is list for one in _choices(self.kind))

    def usage(self) -> str:
        """As one types it: `--data TEXT`, `RECIPE`, `[RUNS]...`."""
        shown = self.written() + ("..." if self.repeats and not self.is_option else "")
        return shown if self.required else f"[{shown}]"

    def written(self) -> str:
        if not self.is_option:
            return (self.info.metavar or self.name.upper()).strip("[]")
        names = [
            self.info.default,
            *(self.info.param_decls or ()),
        ]  # within Annotated, typer takes the first name for a default
        flag = next((one for one in names if isinstance(one, str)), "")
        dashed = self.name.replace("_", "-")
        if bool in _choices(self.kind):
            return flag.replace("/", " / ") or f"--{dashed} / --no-{dashed}"
        return f"{flag or f'--{dashed}'} {self.info.metavar or _value(self.kind)}"


def pages() -> dict[str, str]:
    """Address to text."""
    return {"reference/command-line.md": page()}


def page() -> str:
    rows = [(f"[`limbeck {name}`](#{_anchor(name)})", prose(summary(callback))) for name, callback in commands().items()]
    exits = table(("exit code", "means"), [(f"`{number}`", meaning) for number, meaning in sorted(EXIT_CODES.items())])
    sections = [_section(name, callback) for name, callback in commands().items()]
    return "\n".join([INTRODUCTION, table(("command", "does"), rows), "## Exit codes\n", exits, *sections])


def commands() -> dict[str, Callable[..., Any]]:
    """The commands by the names that one types, in the order of `limbeck --help`."""
    return dict(_commands(cli.app, ""))


def _commands(app: Typer, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for one in app.registered_commands:
        if one.callback and not one.hidden:
            yield prefix + (one.name or one.callback.__name__.replace("_", "-")), one.callback
    for group in app.registered_groups:
        if group.typer_instance is not None and not group.hidden:
            yield from _commands(group.typer_instance, f"{prefix}{group.name or group.typer_instance.info.name} ")


def parameters(callback: Callable[..., Any]) -> list[Parameter]:
    """Its arguments, then its options."""
    hints, found = get_type_hints(callback, include_extras=True), []
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(hints[name])[:2] if get_origin(hints[name]) is Annotated else (hints[name], None)
        assert info is not None, f"{callback.__name__}: {name} has no help"
        found.append(Parameter(name, info, kind, parameter.default))
    return sorted(found, key=lambda one: one.is_option)


def _section(name: str, callback: Callable[..., Any]) -> str:
    found = parameters(callback)
    options = ["[OPTIONS]"] if any(one.is_option and not one.required for one in found) else []
    usage = " ".join(["limbeck", name, *options, *(one.usage() for one in found if one.required or not one.is_option)])
    rows = [(f"`{one.written()}`", _meaning(one)) for one in found]
    parts = [
        f"## limbeck {name} {{#{_anchor(name)}}}",
        code(usage),
        docstring(callback),
        table(("argument", "means"), rows) if rows else "",
    ]
    return "\n\n".join(parts)


def _meaning(parameter: Parameter) -> str:
    """The help text, with what typer adds to it in the terminal."""
    said = [prose(parameter.info.help or "")]
    if parameter.repeats and parameter.is_option and "may be given" not in said[0]:
        said.append("may be repeated")
    if parameter.default and isinstance(parameter.default, str | int | Path) and parameter.default is not True:
        said.append(f"default: `{parameter.default}`")
    return "; ".join([*(one.rstrip(".") for one in said[:-1]), said[-1]])


def _anchor(name: str) -> str:
    return f"limbeck-{name.replace(' ', '-')}"


def _choices(kind: Any) -> tuple[Any, ...]:
    """What a type allows, None left out."""
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(one for one in get_args(kind) if one is not type(None))
    return (kind,)


def _value(kind: Any) -> str:
    first = _choices(kind)[0]
    first = get_args(first)[0] if get_origin(first) is list else first
    if get_origin(first) is Literal:
        return "|".join(map(str, get_args(first)))
    return {Path: "PATH", str: "TEXT", int: "NUMBER", float: "NUMBER"}.get(first, "VALUE")
