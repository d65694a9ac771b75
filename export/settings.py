"""What the export is told."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from blobs.address import LIKE_THIS, BlobUrl


class ExportSettings(BaseSettings):
    model_config = SettingsConfigDict(
        env_ignore_empty=True, hide_input_in_errors=True
    )  # somebody may put a key into it

    export_url: BlobUrl = Field(description=f"where predictions are exported to: {LIKE_THIS}")
    export_interval_seconds: float = Field(default=3600, gt=0, description="seconds between two rounds of the export")
    export_today: bool = Field(
        default=True,
        description="export the day that has not ended, too, and again in every round in which it has new rows",
    )
