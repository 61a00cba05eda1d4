"""The last way of a warning: a mail to the owners, where no place in Slack takes it. Each warning is mailed once."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.accounts import store as accounts
from bot.alerts import routes, store, views
from bot.alerts.service import History, outlook
from bot.clock import Clock
from bot.db.engine import Database, must
from bot.ledger import store as ledger
from bot.mail.model import Mail
from bot.mail.store import owe_mail
from bot.money import Credits
from bot.slack import mrkdwn

_MARKS: Final = re.compile(r"^:[a-z_]+: |\*", re.MULTILINE)  # Slack draws them, a mail box does not


class ByMail:
    """Knows the owners' addresses from ``owners``: Slack, which told them, is gone."""

    def __init__(self, *, database: Database, clock: Clock, history: History, nudge: Callable[[], None]) -> None:
        self._database = database
        self._clock = clock
        self._history = history
        self._nudge = nudge

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
        stands = outlook(account, balance, history, self._clock.now(), zone)
        for owner, to in (await store.addresses(tx, account.owners)).items():
            texts = await routes.texts_of(tx, account, owner)
            said, _ = views.warning(texts, episode, stands)
            subject = texts("alerts.mail_subject", account=account.name)
            body = f"{mrkdwn.plain(_MARKS.sub('', said))}\n\n{texts('alerts.mail_why')}\n"
            await owe_mail(tx, Mail(routes.key_of_mail(episode_id, owner), to, subject, body), stands.now)
