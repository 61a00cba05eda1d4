"""The use cases of support: a case is written down with its mail, and whoever wrote it hears what became of it."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Account, Person, Workspace
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.errors import Outage
from bot.faultpoint import faultpoint
from bot.mail.model import Fate, Mail, UnusableAddress, address
from bot.mail.store import owe_mail
from bot.support import letters, store
from bot.support.model import (
    OPEN_FOR,
    WITHIN,
    Attach,
    Case,
    Entry,
    Purchase,
    State,
    check_pace,
    entry_of,
    mail_key,
    masked,
    may_see,
    new_number,
    ready_mail,
)

logger = logging.getLogger(__name__)

_SHOWN = 8  # purchases to choose from
_ENDS = {Fate.ACCEPTED: State.ACCEPTED, Fate.GIVEN_UP: State.GIVEN_UP}


class PurchaseBooks(Protocol):
    """What is asked about purchases, which are another part's business."""

    async def of_id(self, tx: AsyncConnection, purchase_id: str, /) -> Purchase | None: ...

    async def of_account(
        self, tx: AsyncConnection, account_id: str, buyer_id: str | None, limit: int, /
    ) -> Sequence[Purchase]: ...

    async def in_trouble(self, tx: AsyncConnection, now: datetime, /) -> Sequence[tuple[str, Purchase]]:
        """Each with why: ``unknown`` or ``quarantined``."""
        ...


class Teller(Protocol):
    """Tells people in Slack how an entry stands, in the transaction that made it so."""

    async def __call__(self, tx: AsyncConnection, told: "Told") -> None: ...


@dataclass(frozen=True, slots=True)
class Told:
    """An entry, who hears of it, and what they need to know. ``link`` opens the mail, where they must send it."""

    case: Case
    entry: Entry
    people: Sequence[str]
    purchase: Purchase | None
    link: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a form needs to know."""

    person: Person | None
    purchases: Sequence[Purchase]  # that this person may write about
    chosen: Purchase | None


@dataclass(frozen=True, slots=True)
class Writing:
    """What a submitted form says. ``address`` is typed, where Slack does not tell the person's own."""

    nonce: str
    workspace: Workspace
    user_id: str
    about: str
    words: str
    purchase_id: str | None = None
    attach: frozenset[Attach] = frozenset()
    copy: bool = False
    address: str | None = None


class Support:
    """``mail`` says whether the bot has a mail server; without one, people send what it has written."""

    def __init__(
        self,
        *,
        database: Database,
        who_is: Callable[[Workspace, str], Awaitable[Person | None]],
        purchases: PurchaseBooks,
        tell: Teller,
        clock: Clock,
        address: str,
        mail: bool,
        nudge: Callable[[], None],
        new_number: Callable[[], str] = new_number,
    ) -> None:
        self._database = database
        self._who_is = who_is
        self._purchases = purchases
        self._tell = tell
        self._clock = clock
        self._address = address
        self._mail = mail
        self._nudge = nudge
        self._new_number = new_number

    async def offer(self, workspace: Workspace, user_id: str, purchase_id: str | None) -> Offer:
        """What this person could write about. A database that does not answer leaves the form without purchases."""
        person = await self._who_is(workspace, user_id)
        try:
            async with self._database.read() as tx:
                account = await accounts.of_workspace(tx, workspace)
                if account is None:
                    return Offer(person, (), None)
                buyer_id = None if user_id in account.owners else user_id
                shown = await self._purchases.of_account(tx, account.id, buyer_id, _SHOWN)
                chosen = await self._purchases.of_id(tx, purchase_id) if purchase_id else None
        except Outage as outage:
            logger.warning("a form for support opens without purchases: %s", outage)
            return Offer(person, (), None)
        if chosen is None or not may_see(account, user_id, chosen):
            return Offer(person, shown, None)
        return Offer(person, [chosen, *(each for each in shown if each.id != chosen.id)], chosen)

    async def write(self, writing: Writing) -> Told:
        """Write it down, as a new case or to the open one about its purchase, with the mail it needs.

        The same form again, however often: what it wrote the first time. Raises ``TooManyCases``.
        """
        person = await self._who_is(writing.workspace, writing.user_id)
        write = partial(self._write, writing, person)
        try:
            told = await self._database.write(write)
        except IntegrityError:  # the same form, or the same number, twice in the same moment
            told = await self._database.write(write)
        faultpoint("S0")
        self._nudge()
        return told

    async def _write(self, writing: Writing, person: Person | None, tx: AsyncConnection) -> Told:
        if known := await store.entry_caused_by(tx, writing.nonce):
            return await self._told(tx, known)
        account = await accounts.of_workspace(tx, writing.workspace, lock=True)  # one case at a time
        purchase = await self._purchases.of_id(tx, writing.purchase_id) if writing.purchase_id else None
        if not may_see(account, writing.user_id, purchase):
            purchase = None
        now = self._clock.now()
        case = await store.open_about(tx, purchase.id, now) if purchase else None
        pace = await store.written_since(tx, writing.user_id, now - WITHIN)
        check_pace(*pace, opens=case is None)
        if case is None:
            subject = letters.title(writing.about, account, purchase)
            case = await self._open(tx, writing.workspace, account, purchase, subject, writing.user_id)
        entry = Entry(
            number=case.number,
            n=await store.count(tx, case.number) + 1,
            cause=writing.nonce,
            at=now,
            user_id=writing.user_id,
            locale=person.locale if person else None,
            about=writing.about,
            words=masked(writing.words),
            address=_email_of(person) or _usable(writing.address),
            state=State.ON_ITS_WAY if self._mail else State.BY_HAND,
        )
        copy = writing.copy and person is not None and entry.address == person.email
        return await self._enter(tx, case, entry, account, person, purchase, writing.attach, copy=copy)

    async def look_for_trouble(self) -> int:
        """Open a case about each purchase that is in trouble and has none for that. How many were opened."""
        async with self._database.read() as tx:
            found = await self._purchases.in_trouble(tx, self._clock.now())
            new = [each for each in found if not await store.entry_caused_by(tx, _cause(*each))]
            accounts_of = [await accounts.of_id(tx, purchase.account_id) for _, purchase in new]
        for (kind, purchase), account in zip(new, accounts_of, strict=True):
            for each in _concerned(account, purchase):  # whoever is told is told in their language
                await self._who_is(purchase.workspace, each)
            person = await self._who_is(purchase.workspace, purchase.buyer_id)
            await self._database.write(partial(self._notice, kind, purchase, person))
        if new:
            self._nudge()
        return len(new)

    async def _notice(self, kind: str, purchase: Purchase, person: Person | None, tx: AsyncConnection) -> None:
        account = await accounts.of_workspace(tx, purchase.workspace, lock=True)
        if await store.entry_caused_by(tx, _cause(kind, purchase)):
            return  # another process was faster
        now, about = self._clock.now(), f"{kind}:{purchase.id}"
        case = await store.open_about(tx, purchase.id, now)
        if case is None:
            subject = letters.title(about, account, purchase)
            case = await self._open(tx, purchase.workspace, account, purchase, subject, None)
        entry = Entry(
            number=case.number,
            n=await store.count(tx, case.number) + 1,
            cause=_cause(kind, purchase),
            at=now,
            user_id=None,
            locale=person.locale if person else None,
            about=about,
            words=letters.noticed(kind),
            address=_email_of(person),
            state=State.ON_ITS_WAY if self._mail else State.BY_HAND,
        )
        await self._enter(tx, case, entry, account, person, purchase, frozenset(Attach), copy=False)
        logger.error("case %s was opened", case.number, extra={"purchase": purchase.id, "why": kind})

    async def heard(self, tx: AsyncConnection, key: str, fate: Fate) -> None:
        """What became of a mail: if it was an entry's, tell whoever waits for it."""
        if (whose := entry_of(key)) is None:
            return
        entry = must(await store.entry(tx, *whose))
        await store.set_state(tx, entry, _ENDS[fate])
        await self._tell(tx, await self._told(tx, must(await store.entry(tx, *whose))))

    # ── what all of them do ───────────────────────────────────────────────────────────────────────────────────────

    async def _open(
        self,
        tx: AsyncConnection,
        workspace: Workspace,
        account: Account | None,
        purchase: Purchase | None,
        subject: str,
        user_id: str | None,
    ) -> Case:
        now = self._clock.now()
        while True:
            case = Case(
                number=self._new_number(),
                workspace=workspace,
                account_id=account.id if account else None,
                purchase_id=purchase.id if purchase else None,
                subject=subject,
                opened_by=user_id,
                opened_at=now,
                open_until=now + OPEN_FOR,
            )
            if await store.add_case(tx, case):
                return case

    async def _enter(
        self,
        tx: AsyncConnection,
        case: Case,
        entry: Entry,
        account: Account | None,
        person: Person | None,
        purchase: Purchase | None,
        attach: frozenset[Attach],
        *,
        copy: bool,
    ) -> Told:
        """Write the entry, owe its mail, and owe the news of it."""
        await store.add_entry(tx, entry)
        await store.keep_open(tx, case.number, entry.at + OPEN_FOR)
        mail = Mail(
            key=mail_key(case.number, entry.n),
            to=self._address,
            subject=letters.subject(case),
            body=letters.body(case, entry, account, person, purchase, attach),
            reply_to=entry.address,
            follows=mail_key(case.number, 1) if entry.n > 1 else None,
        )
        if self._mail:
            await owe_mail(tx, mail, entry.at)
            if copy and entry.address:
                mine = Mail(f"{mail.key}:copy", entry.address, mail.subject, mail.body, reply_to=self._address)
                await owe_mail(tx, mine, entry.at)
        told = await self._told(tx, entry, body=mail.body)
        await self._tell(tx, told)
        return told

    async def _told(self, tx: AsyncConnection, entry: Entry, body: str | None = None) -> Told:
        case = must(await store.of_number(tx, entry.number))
        purchase = await self._purchases.of_id(tx, case.purchase_id) if case.purchase_id else None
        account = await accounts.of_id(tx, case.account_id) if case.account_id else None
        people = [entry.user_id] if entry.user_id else sorted(_concerned(account, purchase))
        link = None
        if entry.state in (State.BY_HAND, State.GIVEN_UP):
            body = body or letters.body(case, entry, account, None, purchase, frozenset(Attach))
            link = ready_mail(self._address, letters.subject(case), body)
        return Told(case, entry, people, purchase, link)


def _cause(kind: str, purchase: Purchase) -> str:
    return f"{kind}:{purchase.id}"


def _concerned(account: Account | None, purchase: Purchase | None) -> set[str]:
    return set(account.owners if account else ()) | ({purchase.buyer_id} if purchase else set())


def _email_of(person: Person | None) -> str | None:
    return _usable(person.email) if person else None


def _usable(text: str | None) -> str | None:
    """The address, if mail can be sent there."""
    try:
        return address(text) if text else None
    except UnusableAddress:
        return None
