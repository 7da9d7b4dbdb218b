"""Curves as they are read from a log, whatever happened to the run that wrote it."""

import json

from limbeck.evaluation.training_curves import read_curves


def line(**content):
    return json.dumps(content) + "\n"


def test_curves_of_stages_resumed_runs_and_broken_lines(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text(
        line(seed=0, arm="student", stage=0, step=0, values={"loss": 3, "note": "text", "flag": True})
        + line(seed=0, arm="student", stage=0, step=10, values={"loss": 2})
        + line(seed=0, arm="student", stage=0, step=10, values={"loss": 2.5})  # logged again after a resumption
        + line(seed=0, arm="student", step=10, validation={"accuracy": 0.4})
        + line(seed=0, arm="student", stage=1, step=5, values={"loss": 1})
        + line(seed=0, arm="student", step=6, validation={"accuracy": 0.5})
        + line(event="saved")
        + "not json\n[1, 2]\n\n"
        + '{"seed": 0, "arm": "student", "sta'
    )
    training, validation = read_curves(log)
    assert training == {"loss": {("student", 0): {0: 3.0, 10: 2.5, 15: 1.0}}}
    assert validation == {"accuracy": {("student", 0): {10: 0.4, 16: 0.5}}}
