"""The JSON files of SQuAD: articles of paragraphs of questions (Rajpurkar et al. 2016, arXiv:1606.05250)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]

from limbeck.data.loading.raw_table import RawTable
from limbeck.utils.json_files import NotJsonError, read_json

ANSWERS = pa.struct([("text", pa.list_(pa.string())), ("answer_start", pa.list_(pa.int64()))])
SCHEMA = pa.schema([("id", pa.string()), ("question", pa.string()), ("context", pa.string()), ("answers", ANSWERS)])
START = 4096  # bytes in which the key `data` or `version` comes


def read_squad(path: str | Path) -> RawTable | None:
    """The questions of a file in SQuAD's own layout, in the columns id, question, context and answers; None: another file.

    The impossible questions of SQuAD 2.0 have no answers.

    Raises:
        ValueError: a paragraph or a question that lacks a part.
    """
    if not isinstance(path, str | Path):
        return None
    file = Path(path).expanduser()
    if file.suffix.lower() != ".json" or not file.is_file():
        return None
    with file.open("rb") as opened:
        start = opened.read(START).lstrip()
    if not start.startswith(b"{") or b'"data"' not in start:
        return None
    try:
        content = read_json(file)
    except NotJsonError:  # perhaps one object a line
        return None
    articles = content.get("data")
    if not isinstance(articles, list) or not all(isinstance(one, dict) and "paragraphs" in one for one in articles):
        return None
    try:
        rows = list(_rows(articles))
    except (KeyError, TypeError, AttributeError) as error:
        expected = "SQuAD's layout is data: [{paragraphs: [{context, qas: [{id, question, answers: [{text, answer_start}]}]}]}]"
        raise ValueError(f"{file}: a paragraph or a question lacks a part ({error}); {expected}") from error
    if not rows:
        raise ValueError(f"{file}: the data set is empty")
    return RawTable(pa.Table.from_pylist(rows, SCHEMA), str(file), file.parent)


def _rows(articles: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    paragraphs = (paragraph for article in articles for paragraph in article["paragraphs"])
    for number, (context, asked) in enumerate((each["context"], one) for each in paragraphs for one in each["qas"]):
        answers = asked.get("answers") or []
        yield {
            "id": str(asked.get("id", number)),
            "question": asked["question"],
            "context": context,
            "answers": {name: [answer[name] for answer in answers] for name in ("text", "answer_start")},
        }
