"""The environment that a verdict names."""

import json
import os

from limbeck.evaluation import environment


def test_environment_names_no_place():
    found = environment()
    assert {"python", "torch", "limbeck", "platform", "cpu", "threads", "cores"} <= set(found)
    assert os.uname().nodename not in json.dumps(found)
    assert "/" not in str(found["platform"])
