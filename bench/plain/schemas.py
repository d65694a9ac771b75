"""What the plain design takes and gives."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field


class PlainReport(BaseModel):
    abuse_type: Literal["MSG", "PRF"]
    report_text_len: int = Field(ge=0)
    profile_rating: float = Field(ge=0)
    popularity: int = Field(ge=0, le=5)
    lifetime_matches_created: int = Field(ge=0)
    report_id: str | None = Field(None, max_length=64)


class PlainAccepted(BaseModel):
    task_id: UUID
    status: str


class Result(BaseModel):
    task_id: UUID
    status: str
    score: Any = None
