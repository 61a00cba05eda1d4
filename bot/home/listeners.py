"""Builds the Home tab from the database whenever somebody opens it."""

from collections.abc import Callable

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.accounts.model import NotFullMember, Workspace, may_buy
from bot.db.engine import Database
from bot.errors import Refusal
from bot.home.views import home
from bot.purchases.service import Purchases
from bot.slack.boundary import Boundary
from bot.slack.client import ask
from bot.slack.payloads import sender
from bot.text import Texts
from bot.usage import store as usage

_SHOWN = 5


class Listeners:
    """The front door of App Home."""

    def __init__(
        self,
        database: Database,
        purchases: Purchases,
        boundary: Boundary,
        texts_of: Callable[[str], Texts],
        support_email: str,
    ) -> None:
        self._database = database
        self._purchases = purchases
        self._boundary = boundary
        self._texts_of = texts_of
        self._support = support_email

    def register(self, app: AsyncApp) -> None:
        app.event("app_home_opened")(self._boundary.later(self.opened))

    async def opened(self, args: AsyncArgs) -> None:
        if args.body["event"].get("tab", "home") != "home":
            return
        who = sender(args.body)
        workspace = Workspace(who.enterprise_id, who.team_id)
        person = await self._purchases.person(workspace, who.user_id)
        account, balance = await self._purchases.account_and_balance(workspace)
        latest = await self._purchases.newest(account.id, _SHOWN) if account else ()
        refusal: Refusal | None = None
        try:
            may_buy(account, who.user_id, person)
        except Refusal as refused:
            refusal = refused
        if isinstance(refusal, NotFullMember):
            account = None  # what the account has is not for guests and strangers
        owner = account is not None and who.user_id in account.owners
        view = home(
            self._texts_of(who.user_id),
            account,
            balance,
            latest,
            refusal,
            self._support,
            owner=owner,
            parked=await self._parked(account.id) if account and owner else 0,
        )
        await ask(args.client.views_publish(user_id=who.user_id, view=view))

    async def _parked(self, account_id: str) -> int:
        """How many uses of models wait to be booked."""
        async with self._database.read() as tx:
            return sum(each.count for each in await usage.waiting(tx, account_id))
