"""The settings, from the environment or a file ``.env``. The only reader of either."""

import logging
from importlib.util import find_spec
from typing import Self

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


class SettingsError(Exception):
    """A setting has a value that cannot be used. Names the setting and never repeats its value."""


class Settings(BaseSettings):
    """Everything that can be set. Secrets are ``SecretStr`` and do not print."""

    model_config = SettingsConfigDict(
        env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True, env_ignore_empty=True
    )

    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: str = "https://slack.com/api/"
    stripe_api_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_api_url: str = "https://api.stripe.com"
    database_url: str = "sqlite:///credits.db"
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None
    smtp_url: SecretStr | None = None
    support_email: str = "support@skydeck.ai"
    log_level: str = Field(default="INFO", validation_alias=AliasChoices("LOG_LEVEL", "log_level"))

    @property
    def secrets(self) -> list[str]:
        """Every secret, for the logs to leave out."""
        held = (getattr(self, name) for name in type(self).model_fields)
        return [secret.get_secret_value() for secret in held if isinstance(secret, SecretStr)]

    @classmethod
    def read(cls) -> Self:
        """Raise ``SettingsError`` with one line per unusable setting."""
        try:
            return cls()
        except ValidationError as wrong:
            lines = (
                f"{'.'.join(map(str, each['loc'])).upper()}: {each['msg'].removeprefix('Value error, ')}"
                for each in wrong.errors(include_input=False)
            )
            raise SettingsError("\n".join(lines)) from None
        except (OSError, UnicodeDecodeError):
            raise SettingsError("the file .env cannot be read: it must be text in UTF-8") from None

    @field_validator("database_url")
    @classmethod
    def _driver(cls, url: str) -> str:
        """Accept the plain names people write and put our drivers in."""
        scheme, mark, rest = url.partition("://")
        drivers = {
            "sqlite": "sqlite+aiosqlite",
            "sqlite+aiosqlite": "sqlite+aiosqlite",
            "postgres": "postgresql+psycopg",
            "postgresql": "postgresql+psycopg",
            "postgresql+psycopg": "postgresql+psycopg",
        }
        if not mark or scheme not in drivers:
            raise ValueError("expected sqlite:///FILE or postgresql://USER@HOST/NAME")
        if scheme.startswith("sqlite") and (not rest.startswith("/") or rest.strip("/") in ("", ":memory:")):
            raise ValueError("expected a file, such as sqlite:///credits.db; memory would forget the money")
        if scheme.startswith("postgres") and find_spec("psycopg") is None:
            raise ValueError("PostgreSQL needs one more package: pip install -e '.[postgres]'")
        try:
            make_url(f"{drivers[scheme]}://{rest}")
        except (ArgumentError, ValueError):  # what they say repeats the value
            raise ValueError("expected sqlite:///FILE or postgresql://USER@HOST:PORT/NAME") from None
        return f"{drivers[scheme]}://{rest}"

    @field_validator("log_level")
    @classmethod
    def _level(cls, level: str) -> str:
        levels = logging.getLevelNamesMapping()
        if level.upper() not in levels:
            raise ValueError(f"expected one of {', '.join(levels)}")
        return level.upper()

    @field_validator("slack_api_url", "stripe_api_url", "public_url")
    @classmethod
    def _address(cls, url: str | None, info: ValidationInfo) -> str | None:
        if url is None:
            return None
        if not url.startswith(("http://", "https://")):
            raise ValueError("expected an address that begins with https:// or http://")
        end = "/" if info.field_name == "slack_api_url" else ""  # as slack_sdk wants it
        return url.rstrip("/") + end
