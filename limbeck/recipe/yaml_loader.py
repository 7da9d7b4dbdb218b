"""YAML as recipes are written."""

from __future__ import annotations

import re
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML in which `1e-3` is a number (as in YAML 1.2 and JSON) and a field given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key) for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for name in names:
            if names.count(name) > 1:
                raise yaml.YAMLError(f"field {name!r} is given twice, the second time within line {node.end_mark.line}")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+"), list("-+.0123456789")
)


def read_yaml(text: str) -> Any:
    """Returns the content of a YAML text. No code in it is run.

    Raises:
        yaml.YAMLError: no YAML, or a field that is given twice.
    """
    return yaml.load(text, _Loader)
