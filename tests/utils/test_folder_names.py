"""Names that become folders stay within the folder that they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest

from limbeck.utils.folder_names import child_folder, require_folder_name


@pytest.mark.parametrize("name", ["", ".", "..", ".git", "--out", "a/b", "/tmp", "a\\b", "c:", "a\x1b[0m", "a\n", "x" * 101])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"variants: .*names a folder"):
        require_folder_name(name, "variants")


@pytest.mark.parametrize("name", ["a", "peers.a", "β-1+2", "early.layer1", "width=0.5", "x" * 100])
def test_other_names_pass(name: str, tmp_path: Path) -> None:
    assert child_folder(tmp_path, name, "name") == tmp_path / name


def test_a_link_to_another_place_is_refused_and_a_link_above_is_not(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").symlink_to(tmp_path)
    with pytest.raises(ValueError, match=r"is a link to .*--out"):
        child_folder(tmp_path / "runs", "mine", "name")
    (tmp_path / "linked").symlink_to(tmp_path / "runs")
    assert child_folder(tmp_path / "linked", "x", "name")
