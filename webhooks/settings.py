"""The settings of callbacks: the signing secret, without which no submission may name a callback URL, and timing."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from webhooks.signing import key_of


class WebhookSettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True, hide_input_in_errors=True)

    webhook_secret: SecretStr | None = Field(
        default=None,
        description="signs webhooks: whsec_…; two, the new one first, while you replace it; empty: no callback_url",
    )
    webhook_allow_private: bool = Field(
        default=False, description="for development: deliver to private addresses and over plain http as well"
    )

    @field_validator("webhook_secret")
    @classmethod
    def _secrets_are_well_formed(cls, secret: SecretStr | None) -> SecretStr | None:
        for one in secret.get_secret_value().split() if secret else ():
            key_of(one)
        return secret

    @property
    def keys(self) -> list[bytes]:
        """The signing keys; without any, no submission may name a callback URL."""
        return [key_of(one) for one in self.webhook_secret.get_secret_value().split()] if self.webhook_secret else []


class DeliverySettings(BaseSettings):
    model_config = SettingsConfigDict(env_ignore_empty=True)

    webhook_timeout_seconds: float = Field(
        default=15, gt=0, le=60, description="seconds within which a receiver must answer"
    )
    model_webhook_url: SecretStr | None = Field(
        default=None,
        description="told when a version goes live, the gate refuses one, or a column drifts; may hold a secret",
    )
    webhook_sweep_seconds: float = Field(
        default=15, gt=0, description="seconds between two searches for ended tasks that Redis did not announce"
    )
