"""`limbeck schema` and `limbeck version`."""

from __future__ import annotations

import json
from importlib.metadata import version

from tests.cli.conftest import Limbeck


def test_the_schema_has_every_field_with_its_default(limbeck: Limbeck) -> None:
    code, out, _ = limbeck("schema")
    assert code == 0
    schema = json.loads(out)
    assert {"teacher", "student", "cache", "method"} <= set(schema["properties"])
    assert schema["$defs"]["TrainingSpec"]["properties"]["batch_size"]["default"] == 128


def test_the_version(limbeck: Limbeck) -> None:
    assert limbeck("version") == (0, version("limbeck") + "\n", "")
