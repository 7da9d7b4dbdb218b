"""Counts of predictions that changed."""

from limbeck.evaluation.report.changes import changes

from ..conftest import with_result


def test_quadrants_add_up_and_are_told_in_a_sentence(rich):
    section = str(changes(rich))
    control = rich.result.changes["control"]
    assert f"distillation corrected {control.student_only:,} and broke {control.other_only:,}" in section
    assert f"Of {control.total:,} predictions" in section
    assert section.count("gained ·") == section.count("forgot ·") == 1


def test_without_evidence_there_is_no_section(rich):
    section = changes(with_result(rich, changes={}, examples=[]))
    assert section is None or section.parts == []
