"""What must hold when a world has come to rest. The names I1 to I12 are those of the written invariants."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

from bot.ledger import store as ledger
from bot.ledger.service import verify
from bot.money import Credits, Usd
from bot.outbox import store as outbox
from bot.purchases import store as purchases
from bot.purchases.model import LIVE, UNPAID, Purchase, Status
from bot.sandbox.slack import Message

from .world import ACCOUNT, OWNERS, World

A_MOMENT = 30.0
"""Seconds between the last look at a buyer's right and asking the bank: two answers of Stripe's may take that long."""

A_PAGE_STAYS_OPEN = timedelta(minutes=12).total_seconds()
"""A page is looked at every ten minutes at the least, and Slack's word on a person is good for one more."""

Json = dict[str, Any]


async def violations(world: World) -> list[str]:
    """Everything that is wrong with this world, in plain words."""
    async with world.desk.read() as tx:
        rows = list(reversed(await purchases.newest(tx, 10_000)))
        booked = {entry.cause: entry.postings[f"account:{ACCOUNT}"] for entry in await ledger.newest(tx, 10_000)}
        balance = await ledger.balance(tx, ACCOUNT)
        dead = await outbox.dead(tx)
    audit = await verify(world.desk)
    return [
        *(f"I1 I2 I11: {problem}" for problem in audit.problems),
        *_money(world, rows, booked, balance),
        *_once(world, rows),
        *_submits(world, rows),
        *_rights(world),
        *_cards(world, rows),
        *_ends(world, rows),
        *(f"I7: {each.key} was buried: {each.reason}" for each in dead if each.place not in world.departed),
    ]


def _money(world: World, rows: list[Purchase], booked: dict[str, Credits], balance: Credits) -> Iterator[str]:
    stripe, by_id = world.stripe, {row.id: row for row in rows}
    expected: dict[str, int] = {}
    for intent in stripe.succeeded_intents():
        row = by_id.get(intent["metadata"]["purchase_id"])
        if row is None:
            yield f"I4: {intent['id']} was paid for a purchase that is not in the books"
        elif row.status in UNPAID:
            yield f"I4: {row.id} is {row.status}, and {intent['id']} was paid for it"
        elif row.status is not Status.QUARANTINED:
            expected[f"purchase:{intent['id']}"] = intent["amount_received"]
    gone: Counter[str] = Counter()
    for refund in stripe.state.refunds:
        gone[f"refund:{refund['id']}"] += refund["amount"] if refund["status"] == "succeeded" else 0
    for dispute in stripe.state.disputes:
        gone[f"dispute:{dispute['id']}"] += dispute["amount"] if dispute["status"] != "won" else 0
    back: Counter[str] = Counter()
    for cause, change in booked.items():
        if cause.startswith("purchase:"):
            if (wanted := expected.pop(cause, None)) is None:
                yield f"I4: {cause} was credited, and nobody paid"
            elif change != Credits.bought_for(Usd(wanted)):
                yield f"I4: {cause} credits {change}, and {Usd(wanted)} was paid"
        else:
            back[cause.rpartition(":")[0]] -= change.cents
    for cause in expected:
        yield f"I4: {cause} was paid and not credited"
    for cause in sorted({*gone, *back}):
        if gone[cause] != back[cause]:
            yield f"I4: {cause} took {Usd(gone[cause])}, and the books say {Usd(back[cause])}"
    kept = sum(intent["amount_received"] for intent in stripe.succeeded_intents()) - sum(gone.values())
    if balance != Credits.bought_for(Usd(kept)):
        yield f"I3: the balance is {balance}, and {Usd(kept)} was paid and kept"


def _once(world: World, rows: list[Purchase]) -> Iterator[str]:
    paid = Counter(intent["metadata"]["purchase_id"] for intent in world.stripe.succeeded_intents())
    for purchase, times in paid.items():
        if times > 1:
            yield f"I5: {purchase} was paid {times} times"
    for form in world.forms:
        bought = [row.id for row in rows if row.nonce.startswith(form.nonce)]
        if len(bought) > 1:
            yield f"I5: one form became {len(bought)} purchases: {bought}"


def _submits(world: World, rows: list[Purchase]) -> Iterator[str]:
    by_nonce = {form.nonce: form for form in world.forms}
    written = {nonce for nonce in by_nonce for row in rows if row.nonce.startswith(nonce)}
    for form in world.forms:
        if form.accepted and form.nonce not in written:
            yield f"I6: {form.user} was told yes, and there is no row"
    for row in rows:
        found = next((form for nonce, form in by_nonce.items() if row.nonce.startswith(nonce)), None)
        if found is None or found.user != row.buyer_id or found.cents != row.amount.cents:
            yield f"I9: {row.id} is what nobody asked for"
        elif not any(world.roles.held(row.buyer_id, begun, ended) for begun, ended in found.pressed):
            yield f"I9: {row.id} was written down for {row.buyer_id}, who had no right"
        if row.buyer_id not in OWNERS:
            yield f"I9: {row.id} was written down for {row.buyer_id}, who owns nothing"


def _rights(world: World) -> Iterator[str]:
    """The bot's own charges strictly; a page that the buyer pays, where the bot had time and no trouble to close it."""
    for charge in world.charges.values():
        if charge.sent is not None:
            if not world.rights.held(charge.buyer, charge.sent - A_MOMENT, charge.sent):
                yield f"I8: {charge.purchase} was charged for {charge.buyer}, who had long lost the right"
            continue
        lately = charge.at - A_PAGE_STAYS_OPEN
        untroubled = not any(lately <= trouble <= charge.at for trouble in world.troubles)
        if untroubled and not world.rights.held(charge.buyer, lately, charge.at):
            yield f"I8: {charge.purchase} could still be paid by {charge.buyer}, who had long lost the right"


def _cards(world: World, rows: list[Purchase]) -> Iterator[str]:
    shown: dict[str, list[Message]] = {}
    for channel in world.slack.channels:
        for message in world.slack.messages(channel):
            if message.by_bot and message.metadata:
                shown.setdefault(message.metadata["event_payload"]["key"], []).append(message)
    owed = {row["key"]: row for row in world.rows("SELECT * FROM outbox")}
    # a lost post is looked for in the history, where the bot may read it, around the time at which it left
    found_again = world.odds.may_read_history and not world.odds.jumps and not world.outlived
    may_be_twice = world.ambiguous and not found_again
    for purchase in rows:
        for key in (f"purchase:{purchase.id}:buyer", f"purchase:{purchase.id}:channel"):
            messages = shown.pop(key, [])
            if key.endswith("buyer") and purchase.buyer_id in world.departed:
                continue
            if not messages:
                yield f"I7: nobody was told of {key}, which is {purchase.status}"
            elif len(messages) > 1 and not may_be_twice:
                yield f"I7: {key} was told {len(messages)} times"
            elif not any(_says(world, purchase, message.text) for message in messages):
                yield f"I7: {key} does not say that it is {purchase.status}: {messages[-1].text}"
            elif key in owed and all(message.text != owed[key]["text"] for message in messages):
                yield f"I7: {key} does not say what it ought to: {messages[-1].text}"
    for key in shown:
        yield f"I7: {key} is told, and is no purchase"


_WORDS = {
    Status.SETTLED: ("Paid and credited", "bought"),
    Status.DECLINED: ("declined", "was not completed"),
    Status.EXPIRED: ("has expired", "was not completed"),
    Status.CANCELLED: ("was cancelled", "was not completed"),
    Status.QUARANTINED: ("not the amount", "looked into"),
    Status.REFUNDED: ("was refunded", "was refunded"),
}
_UNDECIDED, _LOST = ("The bank disputes",), ("was decided for the cardholder",)


def _says(world: World, purchase: Purchase, text: str) -> bool:
    words = _WORDS.get(purchase.status, ("",))
    if purchase.status is Status.DISPUTED:
        disputes = [each for each in world.stripe.state.disputes if each["payment_intent"] == purchase.intent_id]
        words = _UNDECIDED if any(each["status"] == "needs_response" for each in disputes) else _LOST
    return any(each in text for each in words)


def _ends(world: World, rows: list[Purchase]) -> Iterator[str]:
    for row in rows:
        if row.status in LIVE:
            yield f"I6: {row.id} has not ended: {row}"
        if row.check_at and world.resting:
            yield f"I12: {row.id} is {row.status}, and is still to be looked at"
    for before, after in pairwise(world.rows("SELECT * FROM purchase_log ORDER BY purchase_id, n")):
        if before["purchase_id"] == after["purchase_id"] and before["status"] not in LIVE and after["status"] in LIVE:
            yield f"I6: {after['purchase_id']} was {before['status']}, and is {after['status']} again"
    if not world.resting:
        yield "I12: the world does not come to rest"
    over = {row.id: row for row in rows if row.status not in LIVE}
    for page in world.stripe.state.sessions:
        closed = over.get(page["client_reference_id"])
        if (
            closed and page["status"] == "open" and page["id"] == closed.session_id
        ):  # nobody ever saw another one's link
            yield f"I12: {closed.id} is over, and its page is open"
    on_pages = {page["payment_intent"] for page in world.stripe.state.sessions}
    for intent in world.stripe.state.intents:
        closed = over.get(intent["metadata"]["purchase_id"])
        begun = intent["latest_charge"] or (closed and closed.intent_id == intent["id"])
        if closed and begun and intent["id"] not in on_pages and intent["status"] not in ("succeeded", "canceled"):
            yield f"I12: {closed.id} is over, and {intent['id']} could still be paid"
