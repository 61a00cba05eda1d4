"""What people do in Slack to buy: type the command, press a button, submit the form. Reads, asks the service, shows."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.views import View

from bot.accounts.model import Workspace
from bot.clockwork import at_most
from bot.errors import Outage, Refusal
from bot.faultpoint import faultpoint
from bot.money import AmbiguousAmount, UnreadableAmount, Usd
from bot.purchases.asking.model import AboveLimit, Asked
from bot.purchases.asking.service import Asking, Wish
from bot.purchases.asking.views import asked
from bot.purchases.model import LIVE, JustBought, PayWith, Purchase
from bot.purchases.service import Purchases, Submission
from bot.purchases.typed import refuse_amount, to_fill_in, why_unread
from bot.purchases.views import LONGEST_AMOUNT, QUICK, Form, again_form, buy_form, stands, wants_page
from bot.slack import mrkdwn, names
from bot.slack.boundary import Boundary, Listener, notice, with_support
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import sender
from bot.text import Texts

_LOOKS, _LOOK_EVERY = 600, 0.5  # a submitted form follows its purchase for five minutes; seconds between two looks
_STORED_WITHIN = 2.2  # seconds: Slack gives a form three, and the person hears the truth either way
_HELP = frozenset({"help", "?", "hjælp"})


class UnknownWord(Refusal):
    """The text after the command is neither an amount nor a word we know."""

    key = "command.unknown"


class Listeners:
    """The front door of buying."""

    def __init__(
        self,
        purchases: Purchases,
        boundary: Boundary,
        texts_of: Callable[[str], Texts],
        support_email: str,
        words: Mapping[str, Listener],
        asking: Asking,
    ) -> None:
        """``words`` are what else may follow the command, and who listens to each and to what follows it."""
        self._purchases = purchases
        self._asking = asking
        self._boundary = boundary
        self._texts_of = texts_of
        self._support = support_email
        self._words = words

    def register(self, app: AsyncApp) -> None:
        boundary = self._boundary
        app.command(names.BUY_COMMAND)(boundary.later(self.command))
        app.shortcut(names.BUY_SHORTCUT)(boundary.later(self.open_form))
        app.action(names.OPEN_BUY_FORM)(boundary.later(self.open_form))
        app.action(re.compile(f"{names.QUICK_AMOUNT}_[0-9]+"))(boundary.later(self.fill_in))
        app.action(names.CANCEL_PURCHASE)(boundary.later(self.cancel))
        app.view(names.BUY_FORM)(boundary.now(self.submit))
        app.view(names.BUY_AGAIN_FORM)(boundary.now(self.submit))

    async def command(self, args: AsyncArgs) -> None:
        """``/buy-credits``, ``/buy-credits 250``, ``/buy-credits help``, or a word of another feature."""
        faultpoint("K1")
        typed = " ".join(mrkdwn.unescape(args.body.get("text") or "").split())
        if typed.lower() in _HELP:
            texts = self._texts_of(sender(args.body).user_id)
            said = texts("command.help", support=self._support, example=texts.write_amount(QUICK[-1]), **texts.limits)
            await args.respond(text=said, blocks=with_support(texts, said, "help"), response_type="ephemeral")
        elif listener := self._words.get(typed.lower().partition(" ")[0]):
            await listener(args)
        elif typed and not any(character.isdigit() for character in typed):
            raise UnknownWord(typed=typed[:50])
        else:
            await self._open(args, typed)

    async def open_form(self, args: AsyncArgs) -> None:
        """The shortcut, or a button; a button may carry an amount in cents."""
        cents = (args.body.get("actions") or [{}])[0].get("value") or ""
        await self._open(args, Usd(int(cents)) if cents.isdecimal() else "")

    async def _open(self, args: AsyncArgs, wanted: Usd | str) -> None:
        """Show the form with what is known at once; the saved card follows when Stripe has answered."""
        who = sender(args.body)
        with self._remembering(wanted, who.user_id):
            offer = await self._purchases.offer(Workspace(who.enterprise_id, who.team_id), who.user_id)
        texts = self._texts_of(who.user_id)
        amount, remark = to_fill_in(texts, wanted)
        asking = offer.account.customer is not None
        form = Form(offer.nonce, PayWith.EITHER if asking else PayWith.CHECKOUT)
        show = partial(buy_form, texts, offer.account, offer.balance, amount=amount, remark=remark)
        shown = await _show(args, show(form, asking=asking))
        faultpoint("K2")
        if asking and shown:
            pay_with, card = await self._purchases.card(offer.account)
            form = Form(offer.nonce, pay_with, card)
            await _update(args, shown["id"], show(form), unless_changed_since=shown["hash"])

    @contextmanager
    def _remembering(self, wanted: Usd | str, user_id: str) -> Iterator[None]:
        """Whoever may not buy this can ask an owner for it."""
        try:
            yield
        except Refusal as refusal:
            if refusal.ask_for is not None:
                typed = wanted if isinstance(wanted, str) else self._texts_of(user_id).write_amount(wanted)
                refusal.ask_for = typed[:LONGEST_AMOUNT]
            raise

    async def fill_in(self, args: AsyncArgs) -> None:
        """A quick amount was pressed: put it into the field."""
        who = sender(args.body)
        offer = await self._purchases.offer(Workspace(who.enterprise_id, who.team_id), who.user_id)
        form = Form.loads(args.body["view"]["private_metadata"])
        if form.pay_with is PayWith.EITHER:
            pay_with, card = await self._purchases.card(offer.account)
            form = replace(form, pay_with=pay_with, card=card)
        texts = self._texts_of(who.user_id)
        view = buy_form(texts, offer.account, offer.balance, form, amount=Usd(int(args.body["actions"][0]["value"])))
        shown = args.body["view"]
        await _update(args, shown["id"], view, unless_changed_since=shown["hash"])

    async def submit(self, args: AsyncArgs) -> None:
        """Buy: everything is checked and written down before Slack hears that it was."""
        who = sender(args.body)
        texts = self._texts_of(who.user_id)
        form, typed = _read(args.body["view"])
        try:
            amount = form.amount or texts.read_amount(typed)
            submission = Submission(
                signed_nonce=form.nonce,
                workspace=Workspace(who.enterprise_id, who.team_id),
                user_id=who.user_id,
                amount=amount,
                pay_with=form.pay_with,
                card=form.card,
                again=form.amount is not None,
            )
            with self._remembering(form.amount or typed, who.user_id):
                outcome = await at_most(_STORED_WITHIN, self._buy_or_ask(submission))
        except (AmbiguousAmount, UnreadableAmount) as unread:
            await refuse_amount(args, texts, why_unread(texts, unread, typed))
        except (Outage, TimeoutError):
            await refuse_amount(args, texts, texts("buy.busy"))
        except JustBought as just:
            form = replace(form, amount=amount)
            twice = again_form(texts, form, amount, seconds=just.seconds, buyer=just.buyer, reader=who.user_id)
            await args.ack(response_action="update", view=twice)
        else:
            if isinstance(outcome, Purchase):
                await args.ack(response_action="update", view=stands(texts, outcome))
                self._boundary.beside(partial(self._follow, texts, outcome), args)
            else:
                await args.ack(response_action="update", view=notice(texts, asked(texts, outcome)))

    async def _buy_or_ask(self, submission: Submission) -> Purchase | Asked:
        """Buy; what one owner alone may not buy becomes a request to the others."""
        try:
            return (await self._purchases.buy(submission))[0]
        except AboveLimit:
            of_form = submission.signed_nonce, submission.workspace, submission.user_id, submission.amount
            return await self._asking.ask(Wish(*of_form))

    async def _follow(self, texts: Texts, purchase: Purchase, args: AsyncArgs) -> None:
        """Keep the form telling how the purchase stands, while somebody is likely to look at it.

        It is a courtesy: the living message tells it in any case, so it ends when Slack does not change the form.
        """
        with suppress(SlackRefused):
            await self._follow_on(texts, purchase, args)

    async def _follow_on(self, texts: Texts, purchase: Purchase, args: AsyncArgs) -> None:
        shown = purchase
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_EVERY)
            with suppress(Outage):
                now = await self._purchases.of_id(purchase.id)
                if now.status is not shown.status:
                    await ask(args.client.views_update(view_id=args.body["view"]["id"], view=stands(texts, now)))
                shown = now
            if shown.status not in LIVE:
                return

    async def cancel(self, args: AsyncArgs) -> None:
        """Give up a purchase that waits on Stripe's page. Its card tells how that went."""
        who = sender(args.body)
        purchase_id = args.body["actions"][0]["value"]
        workspace = Workspace(who.enterprise_id, who.team_id)
        await self._purchases.cancel(workspace, who.user_id, purchase_id)


def _read(view: Mapping[str, Any]) -> tuple[Form, str]:
    """The form and the typed amount, as submitted: the way to pay is the one that was chosen in it."""
    form = Form.loads(view["private_metadata"])
    inputs = {name: value for block in view["state"]["values"].values() for name, value in block.items()}
    if form.card and wants_page((inputs.get(names.PAY_WITH) or {}).get("selected_option")):
        form = replace(form, pay_with=PayWith.CHECKOUT, card=None)
    return form, (inputs.get(names.AMOUNT) or {}).get("value") or ""


async def _show(args: AsyncArgs, view: View) -> Mapping[str, Any] | None:
    """Open the form; None when this very request came before, and opened it then."""
    try:
        opened = await ask(args.client.views_open(trigger_id=args.body["trigger_id"], view=view))
    except SlackRefused as refused:
        if refused.error != "exchanged_trigger_id":
            raise
        return None
    shown: Mapping[str, Any] = opened["view"]
    return shown


async def _update(args: AsyncArgs, view_id: str, view: View, *, unless_changed_since: str | None = None) -> bool:
    """Show the form anew. False when it was closed, or has changed since: then nothing needs to be said."""
    try:
        await ask(args.client.views_update(view_id=view_id, hash=unless_changed_since, view=view))
    except SlackRefused as refused:
        if refused.error not in ("not_found", "hash_conflict", "view_not_found"):
            raise
        return False
    return True
