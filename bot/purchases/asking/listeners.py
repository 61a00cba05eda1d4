"""What people do in Slack to ask an owner, to answer, and to limit what one owner may buy alone."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Final

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.views import View
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.accounts.model import Workspace
from bot.clockwork import at_most
from bot.errors import Outage
from bot.money import AmbiguousAmount, UnreadableAmount, Usd
from bot.purchases.asking.service import Asking, Wish
from bot.purchases.asking.views import ask_form, asked, change_form, first_of_two, limit_stands, seen
from bot.purchases.model import JustBought, PayWith
from bot.purchases.typed import refuse_amount, to_fill_in, why_unread
from bot.purchases.views import Form, again_form, stands
from bot.slack import mrkdwn, names
from bot.slack.boundary import Boundary, notice
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import Sender, sender
from bot.text import Texts

WORDS: Final = ("limit", "grænse")
"""What is typed after the command to see or set the limit."""

_OFF: Final = frozenset({"off", "none", "fra", "ingen"})
_STORED_WITHIN: Final = 2.2  # seconds: Slack gives a form three


class Listeners:
    """The front door of asking."""

    def __init__(self, asking: Asking, boundary: Boundary, texts_of: Callable[[str], Texts]) -> None:
        self._asking = asking
        self._boundary = boundary
        self._texts_of = texts_of

    def register(self, app: AsyncApp) -> None:
        boundary = self._boundary
        app.action(names.OPEN_ASK_FORM)(boundary.later(self.open_form))
        app.action(names.APPROVE_REQUEST)(boundary.later(self.approve))
        app.action(names.CHANGE_REQUEST)(boundary.later(self.open_change))
        app.action(names.DECLINE_REQUEST)(boundary.later(self.decline))
        app.action(names.WITHDRAW_REQUEST)(boundary.later(self.withdraw))
        app.view(names.ASK_FORM)(boundary.now(self.submit))
        app.view(names.CHANGE_REQUEST_FORM)(boundary.now(self.submit_change))
        app.view(names.APPROVE_AGAIN_FORM)(boundary.now(self.submit_again))

    # ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open_form(self, args: AsyncArgs) -> None:
        """A button anywhere; it may carry an amount as it was typed."""
        who = sender(args.body)
        account, nonce = await self._asking.offer(_workspace(who), who.user_id)
        texts = self._texts_of(who.user_id)
        amount, remark = to_fill_in(texts, args.body["actions"][0].get("value") or "")
        await _show(args, ask_form(texts, account, nonce, amount=amount, remark=remark))

    async def submit(self, args: AsyncArgs) -> None:
        """Ask: the request is written down before Slack hears that it was."""
        who, view = sender(args.body), args.body["view"]
        texts = self._texts_of(who.user_id)
        reason = _typed(view, names.ASK_REASON)

        async def ask_owners(amount: Usd) -> View:
            wish = Wish(view["private_metadata"], _workspace(who), who.user_id, amount, reason)
            return notice(texts, asked(texts, await self._asking.ask(wish)))

        await self._answer(args, texts, ask_owners)

    # ── answering ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def approve(self, args: AsyncArgs) -> None:
        """Yes to what the card showed. The card tells how that went; a form asks when the same was bought just now."""
        who = sender(args.body)
        texts = self._texts_of(who.user_id)
        request_id, amount = seen(args.body["actions"][0]["value"])
        try:
            await self._asking.approve(_workspace(who), who.user_id, request_id, amount, seen=True)
        except JustBought as just:
            await _show(args, _again(texts, request_id, amount, just, who.user_id))

    async def open_change(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        request = await self._asking.open(_workspace(who), who.user_id, args.body["actions"][0]["value"])
        await _show(args, change_form(self._texts_of(who.user_id), request))

    async def submit_change(self, args: AsyncArgs) -> None:
        """Yes to another amount."""
        texts = self._texts_of(sender(args.body).user_id)
        request_id = args.body["view"]["private_metadata"]
        await self._answer(args, texts, partial(self._approve, args, texts, request_id))

    async def submit_again(self, args: AsyncArgs) -> None:
        """Yes, the same is meant twice."""
        texts = self._texts_of(sender(args.body).user_id)
        form = Form.loads(args.body["view"]["private_metadata"])
        await self._answer(args, texts, partial(self._approve, args, texts, form.nonce, again=True), form.amount)

    async def decline(self, args: AsyncArgs) -> None:
        """No. The card tells that it was said."""
        who = sender(args.body)
        await self._asking.decline(_workspace(who), who.user_id, args.body["actions"][0]["value"])

    async def withdraw(self, args: AsyncArgs) -> None:
        """Never mind. The cards tell that it was taken back."""
        who = sender(args.body)
        await self._asking.withdraw(_workspace(who), who.user_id, args.body["actions"][0]["value"])

    async def _approve(
        self, args: AsyncArgs, texts: Texts, request_id: str, amount: Usd, *, again: bool = False
    ) -> View:
        who = sender(args.body)
        try:
            _, purchase = await self._asking.approve(_workspace(who), who.user_id, request_id, amount, again=again)
        except JustBought as just:
            return _again(texts, request_id, amount, just, who.user_id)
        if purchase:
            return stands(texts, purchase)
        return notice(texts, first_of_two(texts, who.user_id))

    async def _answer(
        self, args: AsyncArgs, texts: Texts, work: Callable[[Usd], Coroutine[Any, Any, View]], amount: Usd | None = None
    ) -> None:
        """Do it with the amount, or with what was typed, and show what comes of it in the form."""
        typed = _typed(args.body["view"], names.AMOUNT)
        try:
            view = await at_most(_STORED_WITHIN, work(amount or texts.read_amount(typed)))
        except (AmbiguousAmount, UnreadableAmount) as unread:
            await refuse_amount(args, texts, why_unread(texts, unread, typed))
        except (Outage, TimeoutError) as busy:
            about = f"outage:{busy.service if isinstance(busy, Outage) else 'database'}"
            await args.ack(response_action="push", view=notice(texts, texts("ask.busy"), about))
        else:
            await args.ack(response_action="update", view=view)

    # ── the limit ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def limit(self, args: AsyncArgs) -> None:
        """``/buy-credits limit``, ``/buy-credits limit 500``, ``/buy-credits limit off``."""
        who = sender(args.body)
        _, _, typed = " ".join((args.body.get("text") or "").split()).partition(" ")
        if not typed:
            account, limit = await self._asking.limit(_workspace(who), who.user_id)
        else:
            try:
                amount = None if typed.lower() in _OFF else self._texts_of(who.user_id).read_amount(typed)
            except (AmbiguousAmount, UnreadableAmount) as unread:
                said = why_unread(self._texts_of(who.user_id), unread, typed)
                return await _whisper(args, mrkdwn.escape(said))
            account, limit = await self._asking.set_limit(_workspace(who), who.user_id, amount)
        await _whisper(args, limit_stands(self._texts_of(who.user_id), account, limit))


def _again(texts: Texts, request_id: str, amount: Usd, just: JustBought, reader: str) -> View:
    form = Form(request_id, PayWith.EITHER, amount=amount)
    name = names.APPROVE_AGAIN_FORM
    return again_form(texts, form, amount, seconds=just.seconds, buyer=just.buyer, reader=reader, callback_id=name)


def _workspace(who: Sender) -> Workspace:
    return Workspace(who.enterprise_id, who.team_id)


def _typed(view: Mapping[str, Any], name: str) -> str:
    """What was entered into the field of this name."""
    inputs = {action: value for block in view["state"]["values"].values() for action, value in block.items()}
    return (inputs.get(name) or {}).get("value") or ""


async def _whisper(args: AsyncArgs, said: str) -> None:
    await args.respond(text=said, response_type="ephemeral")


async def _show(args: AsyncArgs, view: View) -> None:
    """Open a form, or put it over the one that the button stood in; not again when this very request came before."""
    over = (args.body.get("view") or {}).get("type") == "modal"
    show: Callable[..., Awaitable[AsyncSlackResponse]] = args.client.views_push if over else args.client.views_open
    try:
        await ask(show(trigger_id=args.body["trigger_id"], view=view))
    except SlackRefused as refused:
        if refused.error != "exchanged_trigger_id":
            raise
