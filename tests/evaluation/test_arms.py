"""Names of arms, and the folders in which their models are kept."""

import pytest

from limbeck.evaluation.arms import ArmName, arm_folder, arms_by_result, current_name, of_result, parse_arm


@pytest.mark.parametrize(
    ("name", "parts", "written"),
    [
        ("teacher", ("", "teacher"), "teacher"),
        ("student", ("student", "student"), "student"),
        ("control", ("student", "control"), "control"),
        ("smoothing", ("student", "smoothing"), "smoothing"),
        ("student/control", ("student", "control"), "control"),
        ("a/student", ("a", "student"), "a/student"),
        ("teacher/student", ("teacher", "student"), "teacher/student"),  # a result may have this name
        ("v1.5/noise", ("v1.5", "noise"), "v1.5/noise"),
    ],
)
def test_names_have_two_parts_of_which_the_default_result_is_not_written(name, parts, written):
    assert parse_arm(name) == parts
    assert str(parse_arm(name)) == written


@pytest.mark.parametrize("name", ["", "/", "a/", "/student", "a/b/c", "a/teacher"])
def test_other_forms_are_refused(name):
    with pytest.raises(ValueError, match="expected 'teacher', ARM or RESULT/ARM"):
        parse_arm(name)


def test_arms_by_result_in_order_of_appearance():
    names = ["teacher", "b/student", "a/control", "a/student", "b/noise"]
    assert arms_by_result(names) == {
        "b": {"student": "b/student", "noise": "b/noise"},
        "a": {"control": "a/control", "student": "a/student"},
    }
    assert of_result(dict.fromkeys(names, 0), "b") == {"teacher": 0, "student": 0, "noise": 0}
    with pytest.raises(ValueError, match="'student' and 'student/student' are the same"):
        arms_by_result(["student", "student/student"])
    with pytest.raises(ValueError, match="expected 'a/student'"):
        arms_by_result(["student", "a/control"])
    with pytest.raises(ValueError, match="expected 'student'"):
        arms_by_result(["teacher"])


def test_folders():
    one = {name: arm_folder(name) for name in ("teacher", "student", "control", "smoothing")}
    assert one == {"teacher": "teacher", "student": "student", "control": "control", "smoothing": "results/student/smoothing"}
    names = ("a/student", "a/control", "a/noise", "b/student", "b/control", "student", "control")
    assert [arm_folder(name, first="a") for name in names] == [
        *("student", "control", "results/a/noise", "results/b/student", "results/b/control"),
        *("results/student/student", "results/student/control"),
    ]
    assert len({arm_folder(name, first="a") for name in names}) == len(names)


def test_a_former_name_is_read():
    assert (current_name("alone"), current_name("student")) == ("control", "student")
    assert ArmName("student", current_name("alone")) == parse_arm("control")
