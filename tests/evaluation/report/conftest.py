"""One run that has everything in it, made once."""

import pytest

from . import made


@pytest.fixture(scope="session")
def rich():
    return made.verdict()


@pytest.fixture
def run(tmp_path, rich):
    return made.write(tmp_path / "run", rich)
