"""The wheel and the sdist: what they contain, and that an installed one runs without a checkout around it."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).parents[1]
SHORT = ["--seed", "0", "--set", "training.epochs=1", "--set", "teacher.training.epochs=1", "--set", "targets={}"]


def build(source: Path, target: Path, *options: str) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(target), str(source)]
    subprocess.run(command, check=True, capture_output=True)


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this checkout and the wheel made from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    build(ROOT, folder)
    return folder


@pytest.fixture(scope="module")
def site(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel alone is installed."""
    folder = tmp_path_factory.mktemp("site")
    (wheel,) = dist.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return folder


def outside(site: Path) -> dict[str, str]:
    """An environment that finds the installed package and no data of this machine."""
    kept = {name: value for name, value in os.environ.items() if name != "LIMBECK_DATA"}
    return {**kept, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}


def test_the_wheel_contains_every_module_recipe_and_the_licence(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    names = set(contents(wheel))
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "limbeck").rglob("*.py")} <= names
    assert {f"limbeck/recipes/{path.name}" for path in (ROOT / "recipes").glob("*.yaml")} <= names
    assert "limbeck/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"limbeck"}  # no top-level `recipes`, nothing else


def test_sdist_and_checkout_make_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    build(ROOT, tmp_path, "--wheel")
    ((from_sdist,), (from_checkout,)) = dist.glob("*.whl"), tmp_path.glob("*.whl")
    assert contents(from_sdist) == contents(from_checkout)


def test_the_installed_package_is_complete(site: Path, tmp_path: Path) -> None:
    script = (
        "import limbeck, limbeck.cli; from limbeck.recipe import built_in_recipes; "
        "print(limbeck.__file__, limbeck.cli.__file__, list(built_in_recipes()))"
    )
    command = [sys.executable, "-c", script]
    out = subprocess.run(command, cwd=tmp_path, env=outside(site), capture_output=True, text=True, check=True).stdout
    assert out.count(str(site / "limbeck")) == 2
    assert str(sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))) in out


def test_an_installed_limbeck_distils_the_digits(site: Path, tmp_path: Path) -> None:
    command = [str(site / "bin" / "limbeck"), "distill", "digits", *SHORT]
    done = subprocess.run(command, cwd=tmp_path, env=outside(site), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    run = tmp_path / "runs" / "digits"
    assert all((run / name).exists() for name in ("student/model.safetensors", "verdict.json", "report.html", "recipe.yaml"))


def test_the_metadata_describe_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert not any(line.startswith("License ::") for line in project["classifiers"])  # refused beside an SPDX expression
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").strip().startswith("Apache License")
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"version: {project['version']}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
