"""What every part of a verdict's file is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """A frozen row of fields that JSON holds; a field that nobody knows is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
