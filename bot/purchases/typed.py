"""Amounts that people typed: what a form is filled in with, and what is said at its field."""

from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.errors import Refusal
from bot.money import AmbiguousAmount, UnreadableAmount, Usd
from bot.purchases.model import check_amount
from bot.purchases.views import LONGEST_AMOUNT
from bot.slack import mrkdwn
from bot.slack.boundary import notice
from bot.text import Texts


def to_fill_in(texts: Texts, wanted: Usd | str) -> tuple[Usd | str | None, str | None]:
    """What to fill in, and what to remark about it, for an amount that came with a command or a button."""
    try:
        amount = texts.read_amount(wanted) if isinstance(wanted, str) and wanted else wanted
        if isinstance(amount, Usd):
            check_amount(amount)
    except (AmbiguousAmount, UnreadableAmount) as unread:
        return str(wanted)[:LONGEST_AMOUNT], mrkdwn.escape(why_unread(texts, unread, str(wanted)))
    except Refusal as refusal:
        return amount, texts(refusal.key, **refusal.facts)
    return amount or None, None


def why_unread(texts: Texts, unread: AmbiguousAmount | UnreadableAmount, typed: str) -> str:
    """The sentence in plain words, as a field shows its error; where markup is read it must be escaped."""
    shown = typed[:LONGEST_AMOUNT]
    if isinstance(unread, UnreadableAmount):
        return texts("amount.unreadable", typed=shown, example=texts.write_amount(Usd(123450)))
    much, little = unread.readings
    ways = {"write_much": texts.write_amount(much), "write_little": texts.write_amount(little)}
    return texts("amount.ambiguous", typed=shown, much=much, little=little, **ways)


async def refuse_amount(args: AsyncArgs, texts: Texts, sentence: str) -> None:
    """Say it at the amount, and keep the form open with everything in it."""
    amounts = [block["block_id"] for block in args.body["view"]["blocks"] if block["block_id"].startswith("amount_")]
    if amounts:
        await args.ack(response_action="errors", errors={amounts[0]: sentence})
    else:
        await args.ack(response_action="push", view=notice(texts, sentence))
