"""The last way of a warning: a mail to the owners, where no place in Slack takes it. Each warning is mailed once."""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.accounts.model import Person, Workspace
from bot.alerts import routes, store, views
from bot.alerts.service import History, outlook
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.ledger import store as ledger
from bot.mail.model import Mail, UnusableAddress, address
from bot.mail.store import owe_mail
from bot.money import Credits
from bot.slack import mrkdwn
from bot.text import texts_for

_AT_ONCE: Final = 100
_KNOWN_FOR: Final = timedelta(days=7)
_MARKS: Final = re.compile(r"^:[a-z_]+: |\*", re.MULTILINE)  # Slack draws them, a mail box does not

WhoIs = Callable[[Workspace, str], Awaitable[Person | None]]


class ByMail:
    """Needs to know the owners' addresses before Slack is gone: Slack is what tells them."""

    def __init__(
        self, *, database: Database, clock: Clock, history: History, who_is: WhoIs, nudge: Callable[[], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._history = history
        self._who_is = who_is
        self._nudge = nudge

    async def learn(self) -> int:
        """Ask Slack for the addresses of owners whose accounts may have to be warned. How many were asked about."""
        async with self._database.read() as tx:
            unknown = await store.owners_to_ask_about(tx, self._clock.now() - _KNOWN_FOR, _AT_ONCE)
        for owner, workspace in unknown:
            person = await self._who_is(workspace, owner)
            if person is not None:
                keep = partial(store.keep_address, user_id=owner, address=_usable(person), at=self._clock.now())
                await self._database.write(keep)
        return 0

    async def work(self) -> int:
        """Mail the warnings that no place takes, as far as an address is known."""
        async with self._database.read() as tx:
            unheard = await routes.unheard(tx)
            histories = {account_id: await self._history(tx, account_id) for account_id in unheard.values()}
        for episode_id, account_id in unheard.items():
            await self._database.write(partial(self._mail, episode_id, histories[account_id]))
            self._nudge()
        return 0

    async def _mail(self, episode_id: str, history: Mapping[datetime, Credits], tx: AsyncConnection) -> None:
        account_id, episode = must(await store.episode(tx, episode_id))
        balance, _ = await ledger.held_still(tx, account_id)
        account = must(await accounts.of_id(tx, account_id))
        zone = (await store.set_up_of(tx, account_id)).rules.zone
        texts, now = texts_for(account.language), self._clock.now()
        said, _ = views.warning(texts, episode, outlook(account, balance, history, now, zone))
        said = _MARKS.sub("", said)
        subject = texts("alerts.mail_subject", account=account.name)
        body = f"{mrkdwn.plain(said)}\n\n{texts('alerts.mail_why')}\n"
        for owner, to in (await store.addresses(tx, account.owners)).items():
            await owe_mail(tx, Mail(routes.key_of_mail(episode_id, owner), to, subject, body), now)


def _usable(person: Person) -> str | None:
    """Their address, if Slack tells one to which a mail can be sent."""
    try:
        return address(person.email) if person.email else None
    except UnusableAddress:
        return None
