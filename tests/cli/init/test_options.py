"""Values of flags that belong together."""

from __future__ import annotations

import pytest

from limbeck.cli.init.options import ModelOptions, model_options, parse_args, parse_reads
from limbeck.cli.init.questions import InitError


def test_arguments() -> None:
    assert parse_args("--x", "{depth: 56, widths: [8, 16]}") == {"depth": 56, "widths": [8, 16]}
    assert parse_args("--x", "depth: 56") == {"depth": 56}
    assert parse_args("--x", None) == {}
    for text in ("depth", "depth=56", "[1"):
        with pytest.raises(InitError, match="expected names and values"):
            parse_args("--x", text)


def test_arguments_and_weights_belong_to_the_models_in_their_order() -> None:
    assert model_options("--teacher", None, None, None) == []
    found = model_options("--teacher", ["a", "b", "c"], ["", "width: 8"], ["a.safetensors"])
    assert found == [ModelOptions("a", {}, "a.safetensors"), ModelOptions("b", {"width": 8}), ModelOptions("c")]
    assert model_options("--teacher", None, ["width: 8"]) == [ModelOptions(None, {"width": 8})]  # its name is asked for


@pytest.mark.parametrize(
    ("names", "args", "weights", "said"),
    [
        (["a"], ["x: 1", "x: 2"], None, "--teacher-args is given 2 times, and --teacher 1 times"),
        (None, None, ["a.pt", "b.pt"], "--teacher-weights is given 2 times, and --teacher 0 times"),
        (["a", "b"], ["x: 1", "x"], None, "--teacher-args is 'x'; expected names and values"),
    ],
)
def test_what_belongs_to_no_model_is_refused(
    names: list[str] | None, args: list[str] | None, weights: list[str] | None, said: str
) -> None:
    with pytest.raises(InitError, match=said):
        model_options("--teacher", names, args, weights)


def test_fields_of_teacher_and_student() -> None:
    assert parse_reads("image, audio") == ({"image": "image", "audio": "audio"}, {"teacher": "image", "student": "audio"})
    fields, reads = parse_reads("picture:image,wave:audio")
    assert (fields, reads) == ({"picture": "image", "wave": "audio"}, {"teacher": "picture", "student": "wave"})
    for text in ("image", "image,image", "a,b,c", ""):
        with pytest.raises(InitError, match="expected two fields, the teacher's and the student's"):
            parse_reads(text)
