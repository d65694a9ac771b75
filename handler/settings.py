"""What the handler can be told."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class HandlerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    max_body_bytes: int = Field(default=8 * 2**20, ge=1024, description="a larger request body gets 413")
    predict_wait_seconds: float = Field(default=5, gt=0, le=60, description="how long POST /predict waits for a score")
