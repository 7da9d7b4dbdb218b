"""Every kind of fault has a test."""

from __future__ import annotations

from benchmarks.fault_kinds import KINDS, has_test


def test_every_kind_has_a_test_that_checks_something() -> None:
    assert [kind for kind, place in KINDS.items() if not has_test(place)] == []
    assert not has_test("benchmarks/test_fault_kinds.py::test_of_another_name")
