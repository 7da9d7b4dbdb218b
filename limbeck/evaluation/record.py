"""The base of all records in the JSON files of evaluation."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """An immutable record of JSON fields; unknown fields are an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
