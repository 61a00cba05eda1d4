"""The settings, from the environment or a file ``.env``. The only reader of either."""

import logging
import os
import re
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from bot.errors import Unusable


class SettingsError(Unusable):
    """A setting has a value that cannot be used. Names the setting and never repeats its value."""


_MAIL: Final = "smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465"
_ADDRESS: Final = re.compile(r"[^\s@<>()\[\],;:\\\"]+@[^\s@<>()\[\],;:\\\"]+", re.ASCII)
NEAR: Final = frozenset({"localhost", "127.0.0.1", "::1"})  # this machine


def forget_proxies() -> None:
    """For who asks nobody but this machine, which a proxy would look for at itself.

    Not every client makes an exception of it: slack_sdk reads HTTP_PROXY and never NO_PROXY.
    """
    for name in [each for each in os.environ if each.lower() in ("http_proxy", "https_proxy", "all_proxy")]:
        del os.environ[name]


class StartTls(StrEnum):
    """Whether a connection that began without TLS goes on with it."""

    OFFERED = "offered"  # where the server offers it
    REQUIRED = "required"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over, and as whose. ``tls`` is from the first byte on; ``patience`` in seconds."""

    host: str
    port: int
    sender: str
    tls: bool = False
    starttls: StartTls = StartTls.OFFERED
    user: str = ""
    password: str = field(default="", repr=False)
    patience: float = 20.0

    @property
    def is_near(self) -> bool:
        """On this machine: nobody listens in between."""
        return self.host in NEAR


def read_smtp_url(url: str, support_email: str) -> MailServer:
    """Raise ``ValueError``, which never repeats the address: a password may stand in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError(f"expected {_MAIL}") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError(f"expected {_MAIL}")
    if unknown := options.keys() - {"starttls", "from", "timeout"}:
        raise ValueError(f"{len(unknown)} unknown options after the question mark: there are starttls, from, timeout")
    tls = parts.scheme == "smtps"
    starttls = options.get("starttls", StartTls.OFFERED)
    if starttls not in list(StartTls) or (tls and "starttls" in options):
        raise ValueError("starttls is offered, required or never, and belongs to smtp:// alone")
    if not re.fullmatch(r"[1-9]\d?", patience := options.get("timeout", "20"), re.ASCII):
        raise ValueError("timeout is in seconds, 1 to 99")
    return MailServer(
        host=parts.hostname,
        port=port or (465 if tls else 587),
        sender=_sender(parts, options.get("from"), support_email),
        tls=tls,
        starttls=StartTls(starttls),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        patience=float(patience),
    )


def _sender(parts: SplitResult, given: str | None, support_email: str) -> str:
    """Who the mail is from: whoever is named, else the user that logs in, else support itself."""
    if given is not None and not _ADDRESS.fullmatch(given):
        raise ValueError("from is not a mail address")
    user = unquote(parts.username or "")
    return given or (user if _ADDRESS.fullmatch(user) else support_email)


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
    stripe_automatic_tax: bool = False
    database_url: str = "sqlite:///credits.db"
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None
    smtp_url: SecretStr | None = None
    support_email: str = "support@skydeck.ai"
    log_level: str = Field(default="INFO", validation_alias=AliasChoices("LOG_LEVEL", "log_level"))

    @property
    def secrets(self) -> list[str]:
        """Every secret, for the logs to leave out; of two that stand with a comma between, each."""
        held = (getattr(self, name) for name in type(self).model_fields)
        given = [secret.get_secret_value() for secret in held if isinstance(secret, SecretStr)]
        secrets = list(dict.fromkeys([*given, *(each.strip() for secret in given for each in secret.split(","))]))
        return [*secrets, self.mail_server.password] if self.mail_server else secrets

    @property
    def mail_server(self) -> MailServer | None:
        """Where mail goes; None when nobody said."""
        return read_smtp_url(self.smtp_url.get_secret_value(), self.support_email) if self.smtp_url else None

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
        except UnicodeDecodeError:
            raise SettingsError("the file .env cannot be read: it must be text in UTF-8") from None
        except OSError as error:
            raise SettingsError(f"the file .env cannot be read: {error.strerror}") from None

    @field_validator(
        *("slack_bot_token", "slack_app_token", "slack_signing_secret", "stripe_api_key", "stripe_webhook_secret"),
        "smtp_url",
        mode="before",
    )
    @classmethod
    def _copied(cls, secret: object) -> object:
        """Blanks that came with it are not of it, and where nothing but blanks and commas stands there is none."""
        return (secret.strip() if secret.strip(" \t\r\n,") else None) if isinstance(secret, str) else secret

    @field_validator("database_url")
    @classmethod
    def _driver(cls, url: str) -> str:
        """Accept the plain names people write and put our drivers in."""
        scheme, mark, rest = url.strip().partition("://")
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
        if scheme.startswith("sqlite") and "?" in rest:
            raise ValueError("expected a file, such as sqlite:///credits.db, and no options behind it")
        try:
            make_url(f"{drivers[scheme]}://{rest}")
        except (ArgumentError, ValueError):  # what they say repeats the value
            raise ValueError("expected sqlite:///FILE or postgresql://USER@HOST:PORT/NAME") from None
        return f"{drivers[scheme]}://{rest}"

    @field_validator("stripe_webhook_secret")
    @classmethod
    def _signing_secrets(cls, secret: SecretStr | None) -> SecretStr | None:
        """One, or two with a comma between. With another every notification would be refused, and nobody told."""
        each = secret.get_secret_value().split(",") if secret else []
        if not all(one.strip().startswith("whsec_") for one in each if one.strip()):
            raise ValueError(
                "expected whsec_…, the Signing secret of an endpoint at https://dashboard.stripe.com/webhooks"
            )
        return secret

    @field_validator("smtp_url")
    @classmethod
    def _mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            read_smtp_url(url.get_secret_value(), "")
        return url

    @field_validator("support_email")
    @classmethod
    def _one_address(cls, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            raise ValueError("expected one mail address, such as support@skydeck.ai")
        return address

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
        if not re.match(r"https?://[^/?#]", url):
            raise ValueError("expected an address that begins with https:// or http://, and then a name")
        end = "/" if info.field_name == "slack_api_url" else ""  # as slack_sdk wants it
        return url.rstrip("/") + end
