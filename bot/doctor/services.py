"""Slack and Stripe, as the doctor sees them: tokens, rights, ways in, and whether the clocks agree."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from bot.clock import Clock
from bot.doctor.report import Finding, blocking, ok, skipped, warning
from bot.errors import Outage
from bot.settings import MailServer, Settings
from bot.slack.client import Identity, SlackRefused
from bot.slack.manifest import OPTIONAL_SCOPES, SCOPES
from bot.web.server import CannotListen, listen

T = TypeVar("T")

PATIENCE_SECONDS: Final = 5.0
_SKEW_NOTED: Final = timedelta(seconds=60)
_SKEW_FATAL: Final = timedelta(seconds=240)  # what Slack and Stripe sign is good for 300

_OAUTH_PAGE: Final = "https://api.slack.com/apps, your app, OAuth & Permissions, Bot User OAuth Token"
_APP_LEVEL_PAGE: Final = "https://api.slack.com/apps, your app, Basic Information, App-Level Tokens (connections:write)"
_BASIC_PAGE: Final = "https://api.slack.com/apps, your app, Basic Information, Signing Secret"
_SCOPES_PAGE: Final = "https://api.slack.com/apps, your app, OAuth & Permissions, Bot Token Scopes"
_KEY_PAGE: Final = "https://dashboard.stripe.com/apikeys, Restricted keys"
_KEY_RIGHTS: Final = (
    "write for Customers, PaymentIntents, Checkout Sessions and Customer portal; "
    "read for Charges and Refunds, Disputes, Invoices, Events and Balance"
)
_PORTAL_PAGE: Final = "https://dashboard.stripe.com/settings/billing/portal"
_UNREACHED: Final = "nobody can reach the bot"


async def bot_token(
    settings: Settings, ask: Callable[[], Awaitable[Identity]]
) -> tuple[list[Finding], Identity | None]:
    """Whether the bot may speak, what it may do, and who it is."""
    name = "slack_bot_token"
    fault = _unusable(name, "SLACK_BOT_TOKEN", settings.slack_bot_token, ("xoxb-",), _OAUTH_PAGE)
    identity = None
    if fault is None:
        try:
            identity = await _within("Slack", ask())
        except (SlackRefused, Outage) as error:
            mend = f"copy SLACK_BOT_TOKEN anew from {_OAUTH_PAGE}"
            fault = _slack_fault(name, error, settings.slack_api_url, mend)
    if identity is None:
        return [*filter(None, [fault]), skipped("slack_scopes", "there is no bot token that works")], None
    return [ok(name, f"the bot of {identity.team or 'workspace'} ({identity.team_id})"), _scopes(identity)], identity


def _scopes(identity: Identity) -> Finding:
    missing = [scope for scope in SCOPES if scope not in identity.scopes]
    if missing:
        why = "; ".join(f"{scope}: {SCOPES[scope]}" for scope in missing)
        mend = f"add them at {_SCOPES_PAGE}, then press Reinstall to Workspace"
        return blocking("slack_scopes", f"not granted: {', '.join(missing)}", why, mend)
    without = [scope for scope in OPTIONAL_SCOPES if scope not in identity.scopes]
    note = f" (without the optional {', '.join(without)})" if without else ""
    return ok("slack_scopes", f"all that are needed{note}")


async def app_token(settings: Settings, ask: Callable[[], Awaitable[object]]) -> list[Finding]:
    """Whether Slack would let the bot in by Socket Mode."""
    name = "slack_app_token"
    if settings.slack_app_token is None and settings.slack_signing_secret is not None:
        return [ok(name, "not set: Slack comes in over HTTP")]
    if fault := _unusable(name, "SLACK_APP_TOKEN", settings.slack_app_token, ("xapp-",), _APP_LEVEL_PAGE):
        return [fault]
    try:
        await _within("Slack", ask())
    except (SlackRefused, Outage) as error:
        mend = f"copy SLACK_APP_TOKEN anew from {_APP_LEVEL_PAGE}"
        return [_slack_fault(name, error, settings.slack_api_url, mend)]
    return [ok(name, "Slack offers a Socket Mode connection")]


def address(settings: Settings) -> list[Finding]:
    """Whether the bot could listen. Where somebody does so already, it may be the bot itself."""
    try:
        listen(settings.host, settings.port, "HOST and PORT").close()
    except CannotListen as fault:
        if not fault.taken:
            mend = "set HOST to an address of this machine, such as 127.0.0.1, and PORT to one that this user may have"
            return [blocking("address", str(fault), "the bot cannot start without it", mend)]
    return [ok("address", f"{settings.host}:{settings.port}")]


def http_door(settings: Settings) -> list[Finding]:
    """Whether Slack could come in over HTTP."""
    name, secret = "slack_signing_secret", settings.slack_signing_secret
    if secret is None:
        return [ok(name, "not set: Slack comes in by Socket Mode")] if settings.slack_app_token else []
    if not re.fullmatch(r"[0-9a-f]{32}(\s*,\s*[0-9a-f]{32})*", secret.get_secret_value()):  # several while they change
        why = "with a wrong secret every request from Slack is refused"
        found = "SLACK_SIGNING_SECRET does not look like one: those have 32 digits and letters a to f"
        return [warning(name, found, why, f"copy it from {_BASIC_PAGE}")]
    if not (settings.public_url or "").startswith("https://"):
        mend = "set PUBLIC_URL, and give the app the manifest that credits-bot manifest --url prints"
        found = "set, but PUBLIC_URL is not an address that begins with https://"
        return [warning(name, found, "Slack calls only public addresses", mend)]
    return [ok(name, f"set: Slack calls {settings.public_url}/slack/events")]


async def stripe_key(settings: Settings, probe: Callable[[], Awaitable[Mapping[str, str]]]) -> list[Finding]:
    """Whether Stripe takes the key, and whether money is real."""
    name = "stripe_key"
    if fault := _unusable(name, "STRIPE_API_KEY", settings.stripe_api_key, ("rk_", "sk_"), _KEY_PAGE):
        return [fault]
    try:
        about = await _within("Stripe", probe())
    except Outage as error:
        found, mend = str(error), f"make a key at {_KEY_PAGE}, with {_KEY_RIGHTS}"
        if not error.reason.startswith("the API key"):
            found, mend = _unreached(error, "STRIPE_API_URL", settings.stripe_api_url, "https://status.stripe.com")
        return [blocking(name, found, "nothing can be charged", mend)]
    money = "real money moves" if about["mode"] == "live" else "no real money moves"
    return [ok(name, f"{about['mode']} mode: {money} (account {about['account']})")]


async def mail(settings: Settings, probe: Callable[[MailServer], Awaitable[str]]) -> list[Finding]:
    """Whether a case would reach support by itself."""
    name, server = "mail", settings.mail_server
    by_hand = f"people who press Contact support must send the mail to {settings.support_email} themselves"
    if server is None:
        mend = "set SMTP_URL to a mail server that lets you in: smtp://USER:PASSWORD@HOST:587"
        return [warning(name, "SMTP_URL is not set", by_hand, mend)]
    try:
        protection = await _within("mail", probe(server))
    except Outage as outage:
        mend = "check host, port, user and password in SMTP_URL, and that this machine may reach the server"
        why = f"nothing reaches {settings.support_email} until it works; mail is tried for 24 hours"
        return [warning(name, f"{server.host}:{server.port} does not take mail: {outage.reason}", why, mend)]
    if protection != "TLS" and not server.is_near:
        why = "everybody on the way can read it"
        return [warning(name, f"{server.host}:{server.port} offers no TLS", why, "use smtps:// or another server")]
    return [ok(name, f"{server.host}:{server.port} takes mail from {server.sender} ({protection})")]


async def stripe_portal(settings: Settings, probe: Callable[[], Awaitable[bool]]) -> list[Finding]:
    """Whether "Change card" and "Invoices" lead somewhere."""
    name, why = "stripe_portal", "owners cannot change their card and see no invoices; buying goes on"
    if settings.stripe_api_key is None:
        return [skipped(name, "there is no Stripe key")]
    try:
        if await _within("Stripe", probe()):
            return [ok(name, "set up: owners change their card and find their invoices there")]
    except Outage as error:
        if error.reason.startswith("the API key lacks"):
            return [warning(name, str(error), why, f"let the key write Customer portal, at {_KEY_PAGE}")]
        return [skipped(name, str(error))]
    return [warning(name, "nobody has set Stripe's customer portal up", why, f"look at {_PORTAL_PAGE} and press Save")]


def webhook(settings: Settings) -> list[Finding]:
    """Whether Stripe's notifications can be believed."""
    if settings.stripe_webhook_secret is None:
        return [ok("stripe_webhook", "not set: the bot notices payments by asking Stripe, within a minute")]
    return [ok("stripe_webhook", "set: Stripe notifies the bot at /stripe/webhook")]


async def clock(service: str, url: str, machine: Clock) -> list[Finding]:
    """Compare this machine's clock with the date on whatever the service answers, be it a refusal."""
    name = f"clock_{service.lower()}"
    try:
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            aiohttp.ClientSession(trust_env=True) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            ahead = machine.now() - parsedate_to_datetime(answer.headers["date"])
    except (aiohttp.ClientError, TimeoutError, KeyError, ValueError, TypeError):
        return [skipped(name, f"{service} did not tell the time")]
    if abs(ahead) <= _SKEW_NOTED:
        return [ok(name, f"agrees with {service}'s")]
    side = "ahead of" if ahead > timedelta(0) else "behind"
    finding = blocking if abs(ahead) > _SKEW_FATAL else warning
    return [
        finding(
            name,
            f"{abs(ahead).total_seconds():.0f} seconds {side} {service}'s",
            "from 300 seconds on, what the other side has just signed looks forged",
            "let this machine take its time from the network: timedatectl set-ntp true",
        )
    ]


async def _within(service: str, answer: Awaitable[T]) -> T:
    """The answer, or ``Outage`` when it takes too long."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answer
    except TimeoutError:
        raise Outage(service, f"no answer within {PATIENCE_SECONDS:.0f} seconds") from None


def _unusable(name: str, setting: str, secret: SecretStr | None, starts: tuple[str, ...], page: str) -> Finding | None:
    """What can be said of a token without asking anybody."""
    if secret is None:
        return blocking(name, f"{setting} is not set", "the bot cannot start without it", f"copy it from {page}")
    if not secret.get_secret_value().startswith(starts):
        found = f"{setting} does not begin with {' or '.join(starts)}"
        return blocking(name, found, "it is something else", f"copy the right one from {page}")
    return None


def _slack_fault(name: str, error: SlackRefused | Outage, url: str, mend: str) -> Finding:
    if isinstance(error, SlackRefused):
        return blocking(name, f"Slack refuses it: {error}", _UNREACHED, mend)
    found, way = _unreached(error, "SLACK_API_URL", url, "https://slack-status.com")
    return blocking(name, found, _UNREACHED, way)


def _unreached(error: Outage, setting: str, url: str, status: str) -> tuple[str, str]:
    """What was found and what to look at, of a service that does not answer as it should."""
    host = urlsplit(url).netloc
    if error.reason.startswith("no connection"):
        way = f"check name lookup, firewall and proxy of this machine, and whether {setting} is right"
        return f"this machine does not reach {host}", way
    return f"{error} (asked {host})", f"see {status}, and whether {setting} is right"
