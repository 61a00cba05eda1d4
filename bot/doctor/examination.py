"""The examination: everything is looked at, at the same time where it can be, and one broken check hides no other."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping

from bot.doctor import services, storage
from bot.doctor.patient import Patient
from bot.doctor.report import Finding, Report, blocking
from bot.errors import Outage
from bot.logs import redact
from bot.slack.client import Identity

logger = logging.getLogger(__name__)


async def examine(patient: Patient) -> Report:
    """Look at everything and change nothing. Takes ten seconds at most, and the time to read the ledger."""
    settings = patient.settings
    slack, identity = await services.bot_token(settings, patient.slack)
    looked = await _each(
        {
            "slack_app_token": services.app_token(settings, patient.socket),
            "stripe_key": services.stripe_key(settings, patient.stripe),
            "stripe_portal": services.stripe_portal(settings, patient.portal),
            "mail": services.mail(settings, patient.mail),
            "clock_slack": services.clock("Slack", f"{settings.slack_api_url}api.test", patient.machine),
            "clock_stripe": services.clock("Stripe", f"{settings.stripe_api_url}/v1/balance", patient.machine),
            "database": _storage(patient, identity),
        }
    )
    doors = [*services.address(settings), *services.http_door(settings), *services.webhook(settings)]
    return Report([*storage.env_file(), *slack, *doors, *looked])


async def _storage(patient: Patient, identity: Identity | None) -> list[Finding]:
    findings, usable = await storage.place(patient.database)
    if not usable:
        return findings
    content = {
        "ledger": storage.books(patient.database, patient.settings.support_email),
        "accounts": storage.customers(patient.database, identity),
        "customers": storage.payers(patient.database, patient.settings, patient.customer),
        "outbox": storage.messages(patient.database, patient.clock.now()),
        "mails": storage.mails(patient.database, patient.settings.support_email, patient.clock.now()),
        "purchases": storage.purchases(patient.stuck),
        "usage": storage.usage(patient.parked),
        "warnings": storage.warnings(patient.deaf),
    }
    return [*findings, *await _each(content)]


async def _each(checks: Mapping[str, Awaitable[list[Finding]]]) -> list[Finding]:
    """Run the checks at the same time; a check that fails is a finding itself."""
    answers = await asyncio.gather(*checks.values(), return_exceptions=True)
    findings: list[Finding] = []
    for name, answer in zip(checks, answers, strict=True):
        findings += [_broken(name, answer)] if isinstance(answer, BaseException) else answer
    return findings


def _broken(name: str, error: BaseException) -> Finding:
    if isinstance(error, Outage):
        found = f"the check itself failed: {redact(str(error))}"
        return blocking(name, found, "nobody can say how it is", "mend that, and ask the doctor again")
    logger.error("the check of %s failed", name, exc_info=error)
    found = f"the check itself failed: {type(error).__name__}"
    return blocking(name, found, "the bot has a bug, or somebody changed the database by hand", "see the log")
