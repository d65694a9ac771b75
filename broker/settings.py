"""Where Redis is."""

from pydantic import Field, RedisDsn
from pydantic_settings import BaseSettings


class BrokerSettings(BaseSettings):
    redis_url: RedisDsn = Field(description="redis://:password@host:port/0")
