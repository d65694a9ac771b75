"""The plain design's table, as an ORM class."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Engine, create_engine, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class ReportScore(Base):
    __tablename__ = "report_scores"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    task_id: Mapped[UUID] = mapped_column(index=True)
    position: Mapped[int]
    abuse_type: Mapped[str]
    report_text_len: Mapped[int]
    profile_rating: Mapped[float]
    popularity: Mapped[int]
    lifetime_matches_created: Mapped[int]
    report_id: Mapped[str | None]
    score: Mapped[float]
    scored_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


def engine(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg2://", 1))
