"""The database, as the doctor sees it: the place itself, then what is in it."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bot.accounts import store as accounts
from bot.accounts.model import Workspace
from bot.db import migrate
from bot.db.engine import Database, sqlite_version
from bot.doctor.patient import Deaf, Parked, Stuck
from bot.doctor.report import Finding, blocking, count, ok, skipped, some, warning
from bot.errors import Outage
from bot.ledger import service as ledger
from bot.logs import redact
from bot.mail import store as mail
from bot.outbox import store as outbox
from bot.prices.model import when
from bot.settings import Settings
from bot.slack.client import Identity
from bot.text import printable

PATIENCE_SECONDS: Final = 5.0
_LATE: Final = timedelta(minutes=10)
_RECENT: Final = timedelta(days=7)
_DISK_LOW: Final = 1_000_000_000
_DISK_FULL: Final = 100_000_000
_LAST_FLAWED: Final = (3, 51, 2)  # see bot.db.engine
_ASKED_ABOUT: Final = 20  # customers; whoever has more accounts hears of the first ones
_MISSING: Final = {
    "no_price": "no price at its time",
    "no_cached_price": "no price for cached input",
    "no_written_price": "no price for cache writes",
}
_WANTED: Final = {"no_price": "", "no_cached_price": " with cached_input", "no_written_price": " with cache_write"}
_UNSTORED: Final = "nothing can be stored, so nothing is sold"
_UNHEARD: Final = "people do not hear what became of their purchases"


async def place(database: Database) -> tuple[list[Finding], bool]:
    """The database itself, and whether its content can be looked at."""
    if database.is_sqlite and (fault := _unwritable(database)):
        return [fault, *_unseen()], False
    if database.is_sqlite and not database.file.exists():
        found = f"{database.file} does not exist yet"
        missing = warning("database", found, "accounts live in it", "credits-bot migrate (credits-bot run does it too)")
        return [missing, *_unseen()], False
    if fault := await _unreachable(database):
        return [fault, *_unseen()], False
    findings = [ok("database", str(database))]
    if database.is_sqlite:
        findings += [_modes(database), _disk(database), _version()]
    has, needs = await migrate.current(database), migrate.newest()
    try:
        is_newest = await migrate.is_newest(database)
    except migrate.Unknown as unknown:
        why = "code and tables do not fit"
        return [*findings, blocking("schema", unknown.found, why, unknown.mend), *_unseen()], False
    if not is_newest:
        found = f"at {has or 'nothing'}, this program needs {needs}"
        finding = warning if database.is_sqlite else blocking  # on SQLite credits-bot run migrates by itself
        behind = finding("schema", found, "code and tables do not fit", "credits-bot migrate")
        return [*findings, behind, *_unseen()], False
    return [*findings, ok("schema", f"the newest ({has})")], True


async def books(database: Database, support: str) -> list[Finding]:
    """Whether the ledger proves what is owed to whom."""
    audit = await ledger.verify(database)
    if audit.ok:
        held = f"{audit.total.exact} credits in {count(audit.accounts, 'account')}"
        return [ok("ledger", f"{count(audit.entries, 'entry', 'entries')}, {held}: it all adds up")]
    why = "the books do not prove what is owed to whom"
    mend = f"stop the bot, keep a copy of the database, send {support} what credits-bot ledger verify --json prints"
    return [blocking("ledger", some(audit.problems), why, mend)]


async def customers(database: Database, identity: Identity | None) -> list[Finding]:
    """Whether anybody could buy, above all in the workspace that the bot is in."""
    team = identity.team_id if identity else "T…"
    mend = f"credits-bot accounts add acme --name 'Acme Labs' --plan essential --team {team} --owner U…"
    async with database.read() as tx:
        known = await accounts.every(tx)
    if not known:
        return [warning("accounts", "none yet", "nobody can buy", mend)]
    if identity and Workspace(identity.enterprise_id, identity.team_id) not in {one.workspace for one in known}:
        found = f"{len(known)}, but none for {identity.team or 'the workspace of the bot'} ({team})"
        return [warning("accounts", found, "nobody there can buy", mend)]
    return [ok("accounts", str(len(known)))]


async def payers(database: Database, settings: Settings, is_there: Callable[[str], Awaitable[bool]]) -> list[Finding]:
    """Whether the accounts' customers are still at Stripe: their saved cards hang on them."""
    if settings.stripe_api_key is None:
        return [skipped("customers", "there is no Stripe key")]
    async with database.read() as tx:
        known = [(one.id, one.customer) for one in await accounts.every(tx) if one.customer][:_ASKED_ABOUT]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            there = await asyncio.gather(*(is_there(customer) for _, customer in known))
    except (Outage, TimeoutError):
        return [skipped("customers", "Stripe did not say")]
    gone = [f"{customer} of {id}" for (id, customer), found in zip(known, there, strict=True) if not found]
    if gone:
        why = "their saved cards are lost: the next purchase makes a new customer and leads to Stripe's page"
        mend = "if STRIPE_API_KEY is of the wrong Stripe account, put the right one in before anybody buys"
        return [warning("customers", f"not at Stripe: {some(gone)}", why, mend)]
    return [ok("customers", f"{len(known)} at Stripe")]


async def messages(database: Database, now: datetime) -> list[Finding]:
    """Whether Slack shows what it ought to."""
    async with database.read() as tx:
        dead, waiting = await outbox.dead(tx), await outbox.waiting(tx)
    if dead:
        found = f"given up: {some([f'{one.key} to {one.place} ({one.reason})' for one in dead])}"
        mend = "invite the bot to the channel or give the account another one; for a refused token see above"
        return [warning("outbox", found, _UNHEARD, mend)]
    waits = f"{count(waiting.count, 'message')} waiting"
    if waiting.oldest and now - waiting.oldest > _LATE:
        found = f"{waits}, the oldest since {waiting.oldest:%Y-%m-%d %H:%M} UTC"
        mend = "start the bot; if it runs, its log says why Slack takes nothing"
        return [warning("outbox", found, _UNHEARD, mend)]
    return [ok("outbox", waits)]


async def mails(database: Database, support: str, now: datetime) -> list[Finding]:
    """Whether the mail that is owed arrives."""
    async with database.read() as tx:
        lost, waiting = await mail.given_up(tx, now - _RECENT), await mail.waiting(tx)
    unheard = f"{support} has not heard of it"
    if lost:
        found = f"given up: {some([f'{each.key} to {each.recipient} ({each.trouble})' for each in lost])}"
        return [warning("mails", found, unheard, "write to them yourself, and mend SMTP_URL or SUPPORT_EMAIL")]
    waits = f"{count(waiting.count, 'mail')} waiting"
    if waiting.oldest and now - waiting.oldest > _LATE:
        found = f"{waits}, the oldest since {waiting.oldest:%Y-%m-%d %H:%M} UTC ({waiting.trouble or 'not tried yet'})"
        return [warning("mails", found, unheard, "see the mail server; start the bot, if it does not run")]
    return [ok("mails", waits)]


async def purchases(ask: Callable[[], Awaitable[Stuck]]) -> list[Finding]:
    """Whether any purchase needs a person."""
    stuck = await ask()
    findings = []
    look = "look for its id in the search of Stripe's dashboard"
    if stuck.quarantined:
        found = f"paid, but not what was asked: {some(stuck.quarantined)}"
        findings.append(warning("purchases", found, "somebody paid and has no credits", f"{look}, and refund it there"))
    if stuck.unknown:
        found = f"unknown for a day: {some(stuck.unknown)}"
        why = "nobody can say whether these were paid, or given back"
        findings.append(warning("purchases", found, why, f"{look}, then credits-bot reconcile"))
    return findings or [ok("purchases", "none is stuck")]


async def usage(ask: Callable[[], Awaitable[Sequence[Parked]]]) -> list[Finding]:
    """Whether any use of a model waits to be booked, and what for."""
    parked = await ask()
    unpriced = [each for each in parked if each.reason != "overdrawn"]
    overdrawn = [each for each in parked if each.reason == "overdrawn"]
    findings = []
    if unpriced:
        found = some([f"{_uses(each)} of {each.account_id} ({_MISSING[each.reason]})" for each in unpriced])
        # To the moment: a price that ended, or lacks something, may have held on that day, and none may overlap it.
        wanted = some([f"{_name(each)}{_WANTED[each.reason]} from {when(each.oldest)} on" for each in unpriced])
        mend = f"credits-bot prices import FILE, with a price for {wanted}; or credits-bot usage discard --help"
        findings.append(warning("usage", f"parked: {found}", "it was used and is not paid for", mend))
    if overdrawn:
        found = some([f"{_uses(each)} of {each.account_id} (beyond its overdraft)" for each in overdrawn])
        account_id = overdrawn[0].account_id
        mend = f"its owner buys credits, or credits-bot accounts edit {account_id} --overdraft CREDITS"
        findings.append(warning("usage", f"parked: {found}", "it was used and is not paid for", mend))
    return findings or [ok("usage", "nothing waits to be booked")]


async def warnings(ask: Callable[[], Awaitable[Sequence[Deaf]]]) -> list[Finding]:
    """Whether people hear that credits run out."""
    deaf = await ask()
    if deaf:
        found = some([f"{each.account_id} at {each.place} ({each.error}, {each.since:%Y-%m-%d})" for each in deaf])
        why = "they go to the next place that is known, in the end to the owners"
        mend = "an owner chooses other channels with /buy-credits alerts, or invites the bot again and saves there"
        return [warning("warnings", f"do not arrive any more: {found}", why, mend)]
    return [ok("warnings", "no place is known to be dead")]


def _uses(parked: Parked) -> str:
    return f"{count(parked.count, 'use')} of {_name(parked)}"


def _name(parked: Parked) -> str:
    return printable(f"{parked.provider} {parked.model}")


async def _unreachable(database: Database) -> Finding | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await migrate.current(database)
    except TimeoutError:
        found = f"no answer within {PATIENCE_SECONDS:.0f} seconds"
    except Outage as outage:
        found = redact(outage.reason)
    else:
        return None
    mend = "check DATABASE_URL, that the place exists, and that this user may read and write there"
    return blocking("database", found, _UNSTORED, mend)


def env_file() -> list[Finding]:
    """The file that settings may come from, if there is one."""
    file = Path(".env").absolute()
    if not file.exists():
        return []
    if _shared(file):
        why = "every token and key of the bot is in it"
        return [warning("env_file", f"other users of this machine may read {file}", why, f"chmod 600 {file}")]
    return [ok("env_file", "nobody else may read it")]


def _unwritable(database: Database) -> Finding | None:
    folder = database.file.parent
    if not folder.is_dir():
        found = f"there is no folder {folder}"
    elif not os.access(folder, os.W_OK | os.X_OK):
        found = f"this user may not write into the folder {folder}, and SQLite makes files beside the database"
    elif kept := [each for each in _files(database) if each.exists() and not os.access(each, os.R_OK | os.W_OK)]:
        found = f"this user may not write to {' '.join(map(str, kept))}"
    else:
        return None
    mend = "let the bot's user own the folder and the files, or choose another place with DATABASE_URL"
    return blocking("database", found, _UNSTORED, mend)


def _shared(file: Path) -> bool:
    return os.name == "posix" and file.exists() and bool(file.stat().st_mode & 0o077)


def _files(database: Database) -> list[Path]:
    """All that SQLite and the bot keep of it, where it is there."""
    return [database.file.with_name(database.file.name + end) for end in ("", "-wal", "-shm", ".lock", ".run.lock")]


def _modes(database: Database) -> Finding:
    shared = [str(file) for file in _files(database) if _shared(file)]
    if shared:
        why = "it says who bought what"
        return warning("database_file", "other users of this machine may read it", why, f"chmod 600 {' '.join(shared)}")
    return ok("database_file", "nobody else may read it")


def _disk(database: Database) -> Finding:
    free = shutil.disk_usage(database.file.parent).free
    found = f"{free / 1e9:.1f} GB free"
    if free >= _DISK_LOW:
        return ok("disk", found)
    finding = blocking if free < _DISK_FULL else warning
    return finding("disk", found, "on a full disk nothing is sold", f"make room at {database.file.parent}")


def _version() -> Finding:
    version = sqlite_version()
    flawed = tuple(map(int, version.split("."))) <= _LAST_FLAWED
    note = "; two processes that write at once can damage its file, so the bot lets in one" if flawed else ""
    return ok("sqlite", f"version {version}{note}")


def _unseen() -> list[Finding]:
    names = ("ledger", "accounts", "customers", "outbox", "mails", "purchases", "usage", "warnings")
    return [skipped(name, "see the database") for name in names]
