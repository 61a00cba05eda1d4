"""What people open and press in App Home: the tab itself, statements, their file, Stripe's pages, the chart."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.blocks import ActionsBlock, ButtonElement
from slack_sdk.models.views import View

from bot.accounts.model import Workspace
from bot.errors import Outage
from bot.home import statement_views
from bot.home.messages import Messages
from bot.home.portal import Portals
from bot.home.service import Homes
from bot.home.statements import Statements
from bot.payments.gateway import Portal
from bot.slack import names
from bot.slack.boundary import Boundary, notice
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import sender
from bot.text import Texts

logger = logging.getLogger(__name__)

WORDS: Final = ("history", "historik")
"""What is typed after the command to see a statement."""

_PARTS: Final = {names.CHANGE_CARD: Portal.CARD, names.OPEN_INVOICES: Portal.INVOICES}


class Listeners:
    """The front door of App Home."""

    def __init__(
        self,
        homes: Homes,
        statements: Statements,
        portals: Portals,
        messages: Messages,
        boundary: Boundary,
        texts_of: Callable[[str], Texts],
    ) -> None:
        self._homes = homes
        self._statements = statements
        self._portals = portals
        self._messages = messages
        self._boundary = boundary
        self._texts_of = texts_of

    def register(self, app: AsyncApp) -> None:
        later = self._boundary.later
        app.event("app_home_opened")(later(self.opened))
        app.action(names.OPEN_HISTORY)(later(self.history))
        app.action(names.HISTORY_MONTH)(later(self.month))
        app.action(names.HISTORY_FILE)(later(self.file))
        app.action(names.SHOW_SPEND)(later(self.chart))
        for name in _PARTS:
            app.action(name)(later(self.portal))

    async def opened(self, args: AsyncArgs) -> None:
        if args.body["event"].get("tab", "home") == "home":
            await self._homes.opened(*_who(args))

    # ── statements ────────────────────────────────────────────────────────────────────────────────────────────────

    async def history(self, args: AsyncArgs) -> None:
        """The word after the command, or a button. Slack waits three seconds for a form, so it opens empty."""
        await self._homes.visible(*_who(args))
        shown = await _open(args, statement_views.looking(self._texts(args)))
        if shown:
            await self._fill(args, shown, self._statement(args, None))

    async def month(self, args: AsyncArgs) -> None:
        wanted = args.body["actions"][0]["selected_option"]["value"]
        await self._fill(args, args.body["view"]["id"], self._statement(args, wanted))

    async def _statement(self, args: AsyncArgs, wanted: str | None) -> View:
        read = await self._statements.read(*_who(args), wanted)
        return statement_views.statement(
            self._texts(args),
            read.account.name,
            read.summary,
            read.months,
            read.purchases,
            receipts=read.owner,
            zone=read.zone.key,
        )

    async def file(self, args: AsyncArgs) -> None:
        """Send the month as a file; the form says at once that it is on its way, and then how that went."""
        texts, wanted = self._texts(args), args.body["actions"][0]["value"]
        shown = await _open(args, notice(texts, texts("history.sending")), push=True)
        if shown:
            await self._fill(args, shown, self._sent(args, texts, wanted))

    async def _sent(self, args: AsyncArgs, texts: Texts, wanted: str) -> View:
        file = await self._statements.file(*_who(args), wanted)
        return notice(texts, await self._messages.send(file, *_who(args), args.body["actions"][0]["action_ts"]))

    # ── the rest ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def portal(self, args: AsyncArgs) -> None:
        """A page of Stripe's. The link is made now: it is good for some minutes only."""
        texts, who = self._texts(args), _who(args)
        part = _PARTS[args.body["actions"][0]["action_id"]]
        customer = await self._portals.customer(*who)
        shown = await _open(args, notice(texts, texts("portal.opening")))
        if shown:
            await self._fill(args, shown, self._linked(texts, part, customer, *who))

    async def _linked(self, texts: Texts, part: Portal, customer: str, workspace: Workspace, user_id: str) -> View:
        try:
            return _link(texts, part, await self._portals.link(customer, part, workspace, user_id))
        except Outage as outage:
            logger.warning("Stripe's portal does not open: %s", outage)
            return notice(texts, texts("portal.closed"), f"outage:{outage.service}")

    async def chart(self, args: AsyncArgs) -> None:
        """What was used lately, as a message: Slack draws charts and tables nowhere else."""
        texts = self._texts(args)
        await self._messages.chart(*_who(args), args.body["actions"][0]["action_ts"])
        await _open(args, notice(texts, texts("home.chart_sent")))

    async def _fill(self, args: AsyncArgs, view_id: str, view: Awaitable[View]) -> None:
        """Show what was asked for in the form that is open, or there that it cannot be had just now."""
        try:
            made = await view
        except Outage as outage:
            logger.warning("outage: %s", outage)
            texts = self._texts(args)
            made = notice(texts, texts("error.outage", service=outage.service), f"outage:{outage.service}")
        await _change(args, view_id, made)

    def _texts(self, args: AsyncArgs) -> Texts:
        return self._texts_of(sender(args.body).user_id)


def _link(texts: Texts, part: Portal, url: str) -> View:
    view = notice(texts, texts("portal.card") if part is Portal.CARD else texts("portal.invoices"))
    button = ButtonElement(text=texts("portal.button"), action_id=names.FOLLOW_LINK, url=url, style="primary")
    view.blocks.append(ActionsBlock(elements=[button]))
    return view


def _who(args: AsyncArgs) -> tuple[Workspace, str]:
    who = sender(args.body)
    return Workspace(who.enterprise_id, who.team_id), who.user_id


async def _open(args: AsyncArgs, view: View, *, push: bool = False) -> str | None:
    """Open the form, or put it on top of another; its id. None when this very request came before, and did it then."""
    show: Callable[..., Awaitable[Any]] = args.client.views_push if push else args.client.views_open
    try:
        opened = await ask(show(trigger_id=args.body["trigger_id"], view=view))
    except SlackRefused as refused:
        if refused.error != "exchanged_trigger_id":
            raise
        return None
    return str(opened["view"]["id"])


async def _change(args: AsyncArgs, view_id: str, view: View) -> None:
    """Show the form anew, unless it was closed."""
    try:
        await ask(args.client.views_update(view_id=view_id, view=view))
    except SlackRefused as refused:
        if refused.error not in ("not_found", "view_not_found"):
            raise
