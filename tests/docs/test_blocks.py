"""What the pages show is true: programs run, recipes validate, quoted messages exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
import torch

from limbeck import objectives
from limbeck.recipe import kind_of, read_yaml
from limbeck.recipe.schema.terms import TermSpec
from tests.docs.pages import DOCS, ROOT, blocks, pages

RUNNABLE = {address: "\n".join(blocks(text, "python", ".run")) for address, text in pages().items()}
WHOLE = {"name", "data"}


@pytest.mark.parametrize("address", [address for address, program in RUNNABLE.items() if program])
def test_programs_run(address, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    exec(compile(RUNNABLE[address], address, "exec"), {"__name__": "__main__"})


def test_python_that_is_not_run_is_python():
    for address, text in pages().items():
        for block in blocks(text, "python"):
            if not address.startswith("reference/api/"):  # signatures are no statements
                compile(block, address, "exec")


def test_whole_recipes_are_valid():
    whole = 0
    for address, text in pages().items():
        of_plugins = list(blocks(text, "yaml", ".plugin"))  # they name parts of a file on the same page
        for block in blocks(text, "yaml"):
            content = read_yaml(block)
            if isinstance(content, dict) and set(content) >= WHOLE and block not in of_plugins:
                kind_of(content).from_dict(content, address, files=False)
                whole += 1
    assert whole >= 12


def test_terms_of_method_pages_are_valid():
    for address, text in pages().items():
        if address.startswith("methods/") and address != "methods/index.md":
            (block,) = blocks(text, "yaml")
            terms = [TermSpec.model_validate(term) for term in read_yaml(block)["terms"]]
            assert address == f"methods/{terms[-1].objective}.md"


# --- troubleshooting -----------------------------------------------------------------------------------------------------

TROUBLE = (DOCS / "guide" / "troubleshooting.md").read_text(encoding="utf-8")
MESSAGES = re.findall(r"^### (.*?) \{#[\w-]+\}\n\n```text\n(.*?)\n```$", TROUBLE, re.M | re.S)


def templates() -> Iterator[list[str]]:
    """The texts of the source, each cut at the values that it is filled with."""
    for path in (ROOT / "limbeck").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield [part.value for part in node.values if isinstance(part, ast.Constant)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield [node.value]


def says(template: list[str], message: str) -> bool:
    """Whether the message is an instance of the text; it may leave out how the text ends."""
    place = 0
    for part in template:
        found = message.find(part, place)
        if found < 0:
            return any(message.endswith(part[:length], place) for length in range(10, len(part)))
        place = found + len(part)
    return True


def test_every_quoted_message_is_in_the_source():
    known = [template for template in templates() if sum(map(len, template)) >= 12]
    assert len(MESSAGES) == TROUBLE.count("\n### ") >= 25
    for title, message in MESSAGES:
        if title == "unexpected keyword argument":  # Python's own words, see below
            continue
        words = [part.strip() for part in re.split(r"…|, ", title.replace("`", ""))]
        texts = [template for template in known if any(word in "…".join(template) for word in words)]
        assert any(says(template, message) for template in texts), f"no text of the source reads: {message}"


def test_an_unexpected_argument_reads_as_quoted():
    (message,) = (message for title, message in MESSAGES if title == "unexpected keyword argument")
    with pytest.raises(ValueError, match="temprature") as error:
        objectives.get("soft_targets", temprature=2)
    assert message == f"terms.0: {error.value}"
