"""A trained teacher for tiny runs."""

from __future__ import annotations

import pytest

from tests.teacher_cache.cached_runs import train_teacher


@pytest.fixture(scope="package")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> str:
    return train_teacher(tmp_path_factory.mktemp("teacher"))
