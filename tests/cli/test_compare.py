"""`limbeck compare`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Limbeck


def test_compare(limbeck: Limbeck, finished: Path, tmp_path: Path) -> None:
    other = tmp_path / "a-run-with-quite-a-long-name"
    shutil.copytree(finished, other)
    code, out, _ = limbeck("compare", finished, other)
    assert code == 0
    assert "finished" in out
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert set(json.loads(limbeck("compare", finished, other, "--json")[1])["runs"]) == {"finished", other.name}
    (other / "verdict.json").unlink()
    code, out, err = limbeck("compare", finished, other)
    assert (code, out) == (2, "")
    assert "has no verdict yet; finish it with: limbeck distill" in err
