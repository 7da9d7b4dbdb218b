"""Recipes mutated at random: each must start its training, or be refused in our words, soon, and touch nothing but its run.

    python -m benchmarks.faults recipes

Every recipe of the package and of the tests of the architecture is changed in one to four places (keys, values, types, depth,
names, paths, or letters of the text) and given to `limbeck distill` or `limbeck compare`, in this process and on small
data. A recipe that passes all checks is stopped at its first training step.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.bars import record
from limbeck.utils.cache_folder import cache_folder
from tests.commands import Answer, ask
from tests.mutations import mutated, words
from tests.small_data import ARCHITECTURE, in_environment, recipe_contents, recipe_texts, variables, write_small_data

COUNT, CHUNK, LIMIT = 5_000, 500, 2.0  # recipes; in one process; seconds
MEMORY = 12 * 2**30  # bytes of a process: a recipe that asks for more must be refused, not fill the machine
IN_MEMORY = Path("/dev/shm")  # where there is one, so that a slow disk is not counted as a slow answer
FIGURES = ("tracebacks", "files touched outside the run folder", f"answers slower than {LIMIT:.0f} s")


class Sandbox:
    """A folder to work in, and what answers may touch in it.

    Args:
        small: the folder of the small data.
    """

    def __init__(self, folder: Path, small: Path) -> None:
        self.folder, self.work = folder, folder / "work"
        os.environ.update(in_environment(variables(small), folder))
        tempfile.tempdir = None
        sys.path.insert(0, str(small / "packages"))

    def ask(self, text: str, *, again: int = 0) -> Answer:
        """Gives a recipe to the command line, in a new working folder."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        os.chdir(self.work)
        recipe = self.work / "recipe.yaml"
        recipe.write_bytes(text.encode("utf-8", "surrogateescape"))
        answer = ask("compare" if "variants" in text else "distill", recipe)
        slower = answer.seconds > LIMIT and again < 2  # perhaps the machine was busy
        return self.ask(text, again=again + 1) if slower else answer

    def outside(self, answer: Answer, text: str) -> list[Path]:
        """The paths that an answer touched, without those of the run, temporary ones, and the caches that the recipe names."""
        allowed = [self.work / "runs", self.folder / "tmp", Path(os.devnull), *named_caches(text, self.work)]
        allowed.append(cache_folder("images").parent.parent)  # the user's, where the hashes of image files are kept
        return [path for path in answer.touched if not any(path == each or each in path.parents for each in allowed)]


def named_caches(text: str, work: Path) -> Iterator[Path]:
    """The folders of teacher outputs and augmented texts that a recipe names."""
    from limbeck.recipe import read_yaml

    def below(value: Any) -> Iterator[str]:
        parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, part in parts:
            if name == "cache":
                yield from (
                    each for each in (part, part.get("path") if isinstance(part, dict) else None) if isinstance(each, str)
                )
            yield from below(part)

    try:
        found = list(below(read_yaml(text)))
    except Exception:  # it was refused
        return
    yield from (
        Path(os.path.realpath(work / os.path.expandvars(os.path.expanduser(path)))) for path in found if "\x00" not in path
    )


def chunk(seed: int, kept: Path, small: Path) -> Counter[str]:
    """Tries some recipes; writes those that are answered wrongly, with what was wrong, into `kept`."""
    import torch
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from limbeck.recipe import load_plugin

    torch.set_num_threads(1)
    limit_memory()
    load_plugin(ARCHITECTURE.parent / "models.py")
    found, contents = Counter[str](), recipe_contents()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as place:
        box = Sandbox(Path(place).resolve(), small)
        for name in ("digits", "bert_pkd", "embeddings"):  # libraries are imported when they are first needed
            box.ask(recipe_texts()[name])

        @seeded(seed)
        @settings(
            max_examples=CHUNK, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        @given(mutated(contents, recipe_texts(), words(contents)))
        def attempt(case: tuple[str, str]) -> None:
            name, text = case
            answer = box.ask(text)
            outside = box.outside(answer, text)
            wrong = {FIGURES[0]: answer.crash, FIGURES[1]: outside, FIGURES[2]: answer.seconds > LIMIT, "raw": answer.raw}
            found.update([figure for figure, what in wrong.items() if what] + ["started" if answer.code is None else "refused"])
            found["tried"] += 1
            if any(wrong.values()):
                said = f"{name}\n{[figure for figure, what in wrong.items() if what]}\n{answer.seconds:.1f} s {outside}\n"
                (kept / f"{seed}-{found['tried']}.txt").write_text(
                    f"{said}{answer.crash or answer.raw}\n{answer.text}\n--- {text}", errors="replace"
                )

        attempt()
        os.chdir("/")
    return found


def limit_memory() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def measure(*, dry: bool, count: int = COUNT, kept: Path | None = None) -> None:
    """Tries all recipes. With `kept`, cases that are answered wrongly stay there, and finished parts are not done again."""
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as place:
        kept, small = kept or Path(place), Path(place).resolve() / "small"
        write_small_data(small)
        for seed in range(-(-count // CHUNK)):
            part = _in_process(seed, kept, small)
            found += part
            print(f"{seed}: {dict(part)}", flush=True)
    said = ", ".join(f"{name} {found[name]:,}" for name in ("tried", "started", "refused", "raw"))
    print(said, {figure: found[figure] for figure in FIGURES})
    if not dry:
        data = f"{found['tried']:,} mutated recipes of {len(recipe_texts())}, small data"
        note = f"{found['started']:,} would have trained, {found['refused']:,} were refused"
        for figure in FIGURES:
            met = found[figure] == 0 and found["tried"] >= COUNT
            command = "python -m benchmarks.faults recipes"
            record("faults", f"mutated recipes: {figure}", "0", found[figure], None, met, command, data, 1, note)


def _in_process(seed: int, kept: Path, small: Path) -> Counter[str]:
    """Tries some recipes in a process of its own, whose death counts as a traceback."""
    done = kept / f"{seed}.json"
    if done.exists():
        return Counter(json.loads(done.read_text()))
    command = [sys.executable, "-m", "benchmarks.fault_recipes", str(seed), str(kept), str(small)]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}  # read when the library is imported
    process = subprocess.run(command, capture_output=True, text=True, errors="replace", env=offline)
    if process.returncode != 0:
        (kept / f"{seed}-died.txt").write_text(process.stderr[-10_000:])
        return Counter({FIGURES[0]: 1})
    part = Counter(json.loads(process.stdout.splitlines()[-1]))
    done.write_text(json.dumps(part))
    return part


if __name__ == "__main__":
    print(json.dumps(chunk(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))))
