"""What people do in Slack to reach support: press a button, type the word, choose it for a message, send the form."""

import json
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.views import View

from bot.accounts.model import Workspace
from bot.clockwork import at_most
from bot.errors import Outage
from bot.mail.model import UnusableAddress, address
from bot.slack import mrkdwn, names
from bot.slack.boundary import Boundary, notice
from bot.slack.buttons import pressed_for
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import sender
from bot.support.model import TooManyCases
from bot.support.service import Support, Writing
from bot.support.views import Form, read_form, sent, support_form
from bot.text import Texts

WORDS: Final = ("support",)
"""What is typed after the command to reach a person."""

_STORED_WITHIN: Final = 2.2  # seconds: Slack gives a form three
_PURCHASE: Final = re.compile(r"\bpur_[0-9a-f]{32}\b")


class Listeners:
    """The front door of support."""

    def __init__(
        self, support: Support, boundary: Boundary, texts_of: Callable[[str], Texts], support_email: str
    ) -> None:
        self._support = support
        self._boundary = boundary
        self._texts_of = texts_of
        self._address = support_email

    def register(self, app: AsyncApp) -> None:
        boundary = self._boundary
        app.action(names.CONTACT_SUPPORT)(boundary.later(self.pressed))
        app.shortcut(names.SUPPORT_SHORTCUT)(boundary.later(self.about_message))
        app.view(names.SUPPORT_FORM)(boundary.now(self.submit))

    async def command(self, args: AsyncArgs) -> None:
        """The word after the command."""
        await self._open(args, "command")

    async def pressed(self, args: AsyncArgs) -> None:
        about, said = pressed_for(args.body["actions"][0].get("value") or "")
        await self._open(args, about, said=said if ":" in about else "")  # help says nothing that went wrong

    async def about_message(self, args: AsyncArgs) -> None:
        """A message is the person's words, unless a bot wrote it; a card of a purchase says which one."""
        message: dict[str, Any] = args.body["message"]
        text = message.get("text") or ""
        if not message.get("bot_id"):
            return await self._open(args, "message", words=text)
        named = _PURCHASE.search(json.dumps(message.get("blocks") or []))
        await self._open(args, f"purchase:{named[0]}" if named else "message", said=text)

    async def _open(self, args: AsyncArgs, about: str, *, words: str = "", said: str = "") -> None:
        who = sender(args.body)
        kind, _, name = about.partition(":")
        workspace = Workspace(who.enterprise_id, who.team_id)
        offer = await self._support.offer(workspace, who.user_id, name if kind == "purchase" else None)
        form = support_form(
            self._texts_of(who.user_id),
            Form(secrets.token_urlsafe(12), about[:200]),
            words=mrkdwn.plain(words),
            said=mrkdwn.plain(said),
            purchases=offer.purchases,
            chosen=offer.chosen,
            email=offer.person.email if offer.person else None,
        )
        await _show(args, form)

    async def submit(self, args: AsyncArgs) -> None:
        """Write the case down before Slack hears that it was."""
        who, view = sender(args.body), args.body["view"]
        texts = self._texts_of(who.user_id)
        form, filled = Form.loads(view["private_metadata"]), read_form(view["state"]["values"])
        try:
            writing = Writing(
                nonce=form.nonce,
                workspace=Workspace(who.enterprise_id, who.team_id),
                user_id=who.user_id,
                about=form.about,
                words=filled.words,
                purchase_id=filled.purchase_id,
                attach=filled.attach,
                copy=filled.copy,
                address=address(filled.address) if filled.address else None,
            )
            told = await at_most(_STORED_WITHIN, self._support.write(writing))
        except UnusableAddress:
            await args.ack(response_action="errors", errors={names.SUPPORT_ADDRESS: texts("support.address_wrong")})
        except (Outage, TimeoutError):
            busy = texts("support.busy", support=self._address)
            await args.ack(response_action="errors", errors={names.SUPPORT_WORDS: busy})
        except TooManyCases as enough:
            await args.ack(response_action="update", view=notice(texts, texts(enough.key, support=self._address)))
        else:
            said = sent(texts, told.entry, self._address, told.link)
            await args.ack(response_action="update", view=notice(texts, said))


async def _show(args: AsyncArgs, view: View) -> None:
    """Open the form, above the one that is open; nothing when this very request came before, and opened it then."""
    trigger = args.body["trigger_id"]
    above = args.body.get("view", {}).get("type") == "modal"
    try:
        if above:
            await ask(args.client.views_push(trigger_id=trigger, view=view))
        else:
            await ask(args.client.views_open(trigger_id=trigger, view=view))
    except SlackRefused as refused:
        if refused.error != "exchanged_trigger_id":
            raise
