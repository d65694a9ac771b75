"""What the translator can be told."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class TranslatorSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    translator_beam_size: int = Field(
        default=2,
        ge=1,
        le=8,
        description="beams with which the translator searches: 1 is fastest, 5 a little better than 2",
    )
