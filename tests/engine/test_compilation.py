"""Compiled actors."""

from __future__ import annotations

import torch

from tests.engine.training_runs import quiet, train


def test_compiling_gives_the_same_student() -> None:
    plain, compiled = (train(quiet(compile=on), count=5).actors["student"].model for on in (False, True))
    for one, other in zip(plain.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
