"""Count how large and how tangled the package has become, from the files of this checkout.

    python -m benchmarks.house              # print the figures
    python -m benchmarks.house --record     # and put them into benchmarks/results/bars.json

The figures are there to notice when a room grows into a bag. Where one of them and clarity disagree, clarity wins.
"""

from __future__ import annotations

import argparse
import ast
import functools
import itertools
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import bars

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "limbeck"
ASSERTIONS = 3491  # in the tests before the modules moved into rooms
MARKERS = {"py.typed", "__pycache__", "__main__.py"}  # none is a place where somebody would look for code

Graph = Mapping[str, set[str]]
Measured = tuple[float, str]  # a figure, and where it was found or what it is made of


@dataclass(frozen=True)
class Bar:
    """A figure of the tree and its limit."""

    figure: str
    limit: float
    measure: Callable[[], Measured]
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.limit:,g}"


# --- The package's modules and imports -----------------------------------------------------------------------------------


@functools.cache
def trees() -> dict[str, ast.Module]:
    """Module name to syntax tree, of every module in the package."""
    return {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(modules: Mapping[str, ast.Module]) -> dict[str, set[str]]:
    """Each module's imports of other modules of the package.

    Imports inside functions count; those for type checking only, and names that `limbeck.lazy` loads by string, do not.
    `from limbeck.a import b` is an import of the module `limbeck.a.b` if there is one, and of `limbeck.a` otherwise.
    """
    return {name: {found for found in _imports(tree, modules) if found != name} for name, tree in modules.items()}


def _imports(tree: ast.Module, modules: Mapping[str, ast.Module]) -> Iterator[str]:
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None and node.module in modules:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes below this one, without the bodies of `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from (other, *_executed(other))
        else:
            yield from (child, *_executed(child))


def room_graph(imports: Graph) -> dict[str, set[str]]:
    """The imports between entries of `limbeck/`; the list of public names, `limbeck/__init__.py`, is none of the rooms."""
    rooms: dict[str, set[str]] = {}
    for module, targets in imports.items():
        if (room := _room(module)) is not None:
            found = {other for target in targets if (other := _room(target)) is not None}
            rooms.setdefault(room, set()).update(found - {room})
    return rooms


def _room(module: str) -> str | None:
    return module.split(".")[1] if "." in module else None


def cycles(graph: Graph) -> list[list[str]]:
    """The sets of nodes that reach each other (strongly connected components of two or more nodes)."""
    reached = {node: _reachable(graph, node) for node in graph}
    found = {frozenset({node} | {other for other in reached[node] if node in reached.get(other, ())}) for node in graph}
    return sorted(sorted(group) for group in found if len(group) > 1)


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = graph.get(waiting.pop(), set()) - found
        found |= fresh
        waiting += fresh
    return found


def longest_path(graph: Graph) -> list[str]:
    """The longest chain of imports, from the top room to the bottom one; rooms on a common cycle count as one floor."""
    merged = {node: "↔".join(group) for group in cycles(graph) for node in group}
    floors: dict[str, set[str]] = {}
    for node, targets in graph.items():
        here = merged.get(node, node)
        floors.setdefault(here, set()).update({merged.get(target, target) for target in targets} - {here})

    @functools.cache
    def below(node: str) -> tuple[str, ...]:
        return node, *longest(floors.get(node, ()))

    def longest(nodes: Iterable[str]) -> tuple[str, ...]:
        chains: list[tuple[str, ...]] = [(), *map(below, sorted(nodes))]
        return max(chains, key=len)

    return list(longest(floors))


# --- Figures -------------------------------------------------------------------------------------------------------------


def entries() -> Measured:
    return sum(path.name not in MARKERS for path in PACKAGE.iterdir()), "folders and files in limbeck/"


def floors() -> Measured:
    path = longest_path(room_graph(import_graph(trees())))
    return len(path), " → ".join(path)


def room_cycles() -> Measured:
    return _cycles(room_graph(import_graph(trees())))


def file_cycles() -> Measured:
    return _cycles(import_graph(trees()))


def _cycles(graph: Graph) -> Measured:
    found = cycles(graph)
    return len(found), "; ".join(" ↔ ".join(group) for group in found)


def longest_class() -> Measured:
    return _longest(_definitions(ast.ClassDef))


def longest_function() -> Measured:
    return _longest(_definitions(ast.FunctionDef, ast.AsyncFunctionDef))


def longest_file() -> Measured:
    return _longest((_lines(path), module_name(path)) for path in PACKAGE.rglob("*.py"))


def _definitions(*kinds: type[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]) -> Iterator[Measured]:
    for module, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, kinds) and node.end_lineno is not None:
                yield node.end_lineno - node.lineno + 1, f"{module}.{node.name}"


def _longest(found: Iterable[Measured]) -> Measured:
    return max(found)


def _lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def readme() -> Measured:
    return _lines(ROOT / "README.md"), ""


def checkout() -> Measured:
    """Megabytes of all files that git tracks, as they stand in the working tree."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = {name: (ROOT / name).lstat().st_size for name in listed.split("\0") if name and (ROOT / name).exists()}
    largest = max(sizes, key=lambda name: sizes[name])
    return round(sum(sizes.values()) / 1e6, 2), f"the largest is {largest}, {sizes[largest] / 1e6:.2f} MB"


def assertions() -> Measured:
    """`assert` statements and expected errors and warnings in the tests."""
    nodes = itertools.chain.from_iterable(ast.walk(ast.parse(path.read_text())) for path in (ROOT / "tests").rglob("*.py"))
    return sum(isinstance(node, ast.Assert) or _expects(node) for node in nodes), "assert, pytest.raises and pytest.warns"


def _expects(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in ("pytest.raises", "pytest.warns")


BARS = (
    Bar("entries in limbeck/", 18, entries),
    Bar("floors of imports between rooms", 12, floors),
    Bar("cycles of imports between rooms", 0, room_cycles),
    Bar("cycles of imports between files", 0, file_cycles),
    Bar("longest class, lines", 200, longest_class),
    Bar("longest function, lines", 60, longest_function),
    Bar("longest file, lines", 400, longest_file),
    Bar("README, lines", 200, readme),
    Bar("checkout without history, MB", 8, checkout),
    Bar("assertions in the tests", ASSERTIONS, assertions, at_least=True),
)


def count(record: bool) -> None:
    """Print every figure and, if asked, record it."""
    for bar in BARS:
        value, note = bar.measure()
        print(f"{'   ' if bar.met(value) else 'no '}{bar.figure}: {value:g} ({bar}){f'; {note}' if note else ''}")
        if record:
            row = ("house", bar.figure, str(bar), value, None, bar.met(value))
            bars.record(*row, "python -m benchmarks.house --record", "files of this checkout", 0, note or None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="put the figures into benchmarks/results/bars.json")
    count(parser.parse_args().record)


if __name__ == "__main__":
    main()
