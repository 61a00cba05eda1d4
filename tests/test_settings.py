"""The settings: plain names are understood, mistakes are named, and no value of a mistake is ever repeated."""

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bot.settings import MailServer, Settings, SettingsError, StartTls

SECRET = "geheim-4711"


def _server(
    sender: str = "support@skydeck.ai", user: str = "", password: str = "", tls: bool = False, **more: Any
) -> MailServer:
    """A server at mail.example."""
    facts = {"port": 465 if tls else 587, "user": user, "password": password, "tls": tls, **more}
    return MailServer(host="mail.example", sender=sender, **facts)


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_defaults_are_those_of_a_first_try() -> None:
    settings = Settings.read()
    assert settings.database_url == "sqlite+aiosqlite:///credits.db"
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert settings.slack_api_url == "https://slack.com/api/"
    assert settings.stripe_api_url == "https://api.stripe.com"
    assert settings.support_email == "support@skydeck.ai"
    assert settings.public_url is None


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("sqlite:///credits.db", "sqlite+aiosqlite:///credits.db"),
        ("sqlite:////srv/credits.db", "sqlite+aiosqlite:////srv/credits.db"),
        (" sqlite:///credits.db \r", "sqlite+aiosqlite:///credits.db"),
        ("postgres://bot:pw@db/credits", "postgresql+psycopg://bot:pw@db/credits"),
        ("postgresql://bot@db:5433/credits", "postgresql+psycopg://bot@db:5433/credits"),
        ("postgresql+psycopg://bot@db/credits", "postgresql+psycopg://bot@db/credits"),
        ("postgresql:///credits?host=/run/postgresql", "postgresql+psycopg:///credits?host=/run/postgresql"),
    ],
)
def test_the_database_is_named_as_people_name_it(
    written: str, understood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", written)
    assert Settings.read().database_url == understood


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"mysql://bot:{SECRET}@db/credits"),
        ("DATABASE_URL", f"/srv/{SECRET}.db"),
        ("DATABASE_URL", f"postgresql://bot:{SECRET}@db:{SECRET}/credits"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", f"sqlite:///credits.db?mode={SECRET}"),
        ("PORT", SECRET),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("LOG_LEVEL", SECRET),
        ("PUBLIC_URL", f"ftp://{SECRET}"),
        ("PUBLIC_URL", SECRET),
        ("STRIPE_API_URL", SECRET),
        ("SLACK_API_URL", SECRET),
        ("SLACK_API_URL", "https://"),
        ("PUBLIC_URL", f"https:///{SECRET}"),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_next, {SECRET}"),
        ("SMTP_URL", SECRET),
        ("SMTP_URL", f"https://bot:{SECRET}@mail.example"),
        ("SMTP_URL", f"smtp://bot:{SECRET}@mail.example:{SECRET}"),
        ("SMTP_URL", f"smtp://bot:{SECRET}@mail.example/{SECRET}"),
        ("SMTP_URL", f"smtp://mail.example?{SECRET}=1"),
        ("SMTP_URL", f"smtp://mail.example?starttls={SECRET}"),
        ("SMTP_URL", f"smtps://mail.example?from={SECRET}"),
        ("SUPPORT_EMAIL", f"{SECRET}@a.example,{SECRET}@b.example"),
        ("SUPPORT_EMAIL", SECRET),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_not_repeated(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", f"sk_live_{SECRET}")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as told:
        Settings.read()
    [line] = str(told.value).splitlines()
    assert line.startswith(f"{name}: ")
    assert SECRET not in line
    assert told.value.__suppress_context__, "the traceback would show the values"


def test_even_the_error_underneath_does_not_print_a_value() -> None:
    with pytest.raises(ValidationError) as told:
        Settings(port=SECRET, slack_bot_token=[SECRET])  # type: ignore[arg-type]
    assert SECRET not in str(told.value)


def test_every_mistake_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "a")
    monkeypatch.setenv("DATABASE_URL", "b")
    with pytest.raises(SettingsError) as told:
        Settings.read()
    assert [line.partition(":")[0] for line in str(told.value).splitlines()] == ["DATABASE_URL", "PORT"]


def test_a_file_env_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("PORT=1234\nHOST=0.0.0.0\nSOMETHING_ELSE=1\n")
    monkeypatch.setenv("HOST", "127.0.0.2")
    settings = Settings.read()
    assert (settings.host, settings.port) == ("127.0.0.2", 1234)


@pytest.mark.parametrize("content", [b"STRIPE_API_KEY=\xff\xfe geheim-4711\n", b"\xff\xfeP\x00O\x00R\x00T\x00"])
def test_a_file_env_that_is_no_text_is_named(content: bytes) -> None:
    Path(".env").write_bytes(content)
    with pytest.raises(SettingsError, match=r"\.env") as told:
        Settings.read()
    assert SECRET not in str(told.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_env_that_may_not_be_read_says_so() -> None:
    Path(".env").touch(mode=0)
    with pytest.raises(SettingsError, match=r"the file \.env cannot be read: Permission denied"):
        Settings.read()


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "")
    monkeypatch.setenv("SLACK_SIGNING_SECRET", "")
    settings = Settings.read()
    assert settings.port == 8080
    assert settings.slack_signing_secret is None


def test_addresses_end_as_the_libraries_expect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setenv("STRIPE_API_URL", "http://127.0.0.1:2/")
    monkeypatch.setenv("PUBLIC_URL", "https://bot.example/credits/")
    settings = Settings.read()
    assert settings.slack_api_url == "http://127.0.0.1:1/api/"
    assert settings.stripe_api_url == "http://127.0.0.1:2"
    assert settings.public_url == "https://bot.example/credits"


def test_the_log_level_may_be_written_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert Settings.read().log_level == "DEBUG"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, SECRET) for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET")),
        ("STRIPE_API_KEY", SECRET),
        ("STRIPE_WEBHOOK_SECRET", f"whsec_{SECRET}"),
        ("SMTP_URL", f"smtp://bot:{SECRET}@mail.example"),
    ],
)
def test_a_secret_does_not_print(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    settings = Settings.read()
    assert SECRET not in f"{settings!r} {settings} {settings.model_dump()} {settings.mail_server}"
    assert getattr(settings, name.lower()).get_secret_value() == value
    assert value in settings.secrets or SECRET in settings.secrets


def test_each_of_two_secrets_is_kept_out_of_the_logs() -> None:
    settings = Settings(_env_file=None, slack_signing_secret="0123456789abcdef, fedcba9876543210")
    assert {"0123456789abcdef", "fedcba9876543210"} <= set(settings.secrets)


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("smtp://mail.example", MailServer("mail.example", 587, "support@skydeck.ai")),
        ("smtp://mail.example:25?starttls=never", _server(port=25, starttls=StartTls.NEVER)),
        ("smtp://mail.example?starttls=required&timeout=5", _server(starttls=StartTls.REQUIRED, patience=5.0)),
        ("smtp://bot:p%40ss%3A@mail.example", _server(user="bot", password="p@ss:")),
        ("smtp://bot@acme.example:pw@mail.example", None),
        ("smtp://bot%40acme.example:pw@mail.example", _server("bot@acme.example", "bot@acme.example", "pw")),
        ("smtps://bot:pw@mail.example?from=credits@acme.example", _server("credits@acme.example", "bot", "pw", True)),
    ],
)
def test_the_mail_server_is_named_as_people_name_it(
    written: str, understood: MailServer | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SMTP_URL", written)
    assert Settings.read().mail_server == (understood or _server("bot@acme.example", "bot@acme.example", "pw"))


def test_nobody_changes_the_settings_of_a_running_bot() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.read().port = 1
