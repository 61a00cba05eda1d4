"""Money that goes back: refunds and disputes follow Stripe's state to the cent, in whatever order they are heard of."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from bot.payments.gateway import Hint
from bot.purchases import store
from bot.purchases.model import LEASE
from bot.sandbox.faults import Kind

from ..conftest import examples
from ..stage import OpenStage, Stage, buttons


def intent_of(stage: Stage) -> str:
    return str(stage.stripe.succeeded_intents()[-1]["id"])


async def test_a_partial_refund_takes_its_part_off_the_balance(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    stage.stripe.refund(intent_of(stage), 999)

    card = await stage.said("Your purchase of $25.00: $9.99 was refunded and taken off the balance.")
    assert list(buttons(card)) == ["Receipt", "Contact support"]
    assert await stage.balance() == "15.01"
    stage.stripe.refund(intent_of(stage), 1)
    await stage.said("$10.00 was refunded")
    assert await stage.balance() == "15.00"


async def test_a_full_refund_takes_all_of_it(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    stage.stripe.refund(intent_of(stage))

    await stage.said("$25.00 was refunded")
    assert await stage.balance() == "0.00"
    assert await stage.statuses() == ["refunded"]


async def test_a_refund_is_heard_of_without_webhooks(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(webhooks=None)
    await stage.bought("25")
    await stage.wind(days=10)
    stage.stripe.refund(intent_of(stage), 500)

    await stage.became("refunded", within=60, step=15)
    assert await stage.balance() == "20.00"


async def test_a_refund_that_comes_back_is_returned(stage: Stage) -> None:
    await stage.bought("25")
    refund = stage.stripe.refund(intent_of(stage), 500)
    await stage.became("refunded")

    stage.stripe.fail_refund(refund["id"])

    await stage.became("settled")
    assert await stage.balance() == "25.00"
    await stage.said("Paid and credited")


async def test_a_dispute_holds_the_credit_and_a_won_one_returns_it(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage()
    await stage.bought("25")
    dispute = stage.stripe.dispute(intent_of(stage))
    await stage.said("The bank disputes the payment of $25.00. $25.00 was taken off the balance until it is decided.")
    assert await stage.balance() == "0.00"

    stage.stripe.close_dispute(dispute["id"], won=True)

    await stage.became("settled")
    assert await stage.balance() == "25.00"
    await stage.said("Paid and credited")


async def test_a_dispute_takes_no_more_than_was_bought(open_small_stage: OpenStage) -> None:
    """A bank that reckons in another currency may dispute some cents more."""
    stage = await open_small_stage()
    await stage.bought("25")
    stage.stripe.dispute(intent_of(stage), 2613)

    await stage.became("disputed")
    assert await stage.balance() == "0.00"


async def test_a_refund_that_stripe_lists_late_is_not_missed(open_small_stage: OpenStage) -> None:
    """Its events come to the list behind newer ones, which were read by then."""
    stage = await open_small_stage(webhooks=None)
    await stage.bought("25")
    await stage.wind(minutes=20)
    stage.stripe.refund(intent_of(stage))
    events = stage.stripe.state.events._items
    late = {name: events.pop(name) for name, event in [*events.items()] if "refund" in event["type"]}
    await stage.wind(minutes=10)
    await stage.bought("30")
    await stage.bot._worker.listen()
    newer = [*events.items()][-1:]
    events.pop(newer[0][0])
    events.update({**late, **dict(newer)})

    await stage.became("refunded", "settled", within=3700, step=60)
    assert await stage.balance() == "30.00"


async def test_what_went_back_while_the_bot_was_down_for_longer_than_stripe_remembers(
    open_small_stage: OpenStage,
) -> None:
    stage = await open_small_stage(webhooks=None)
    await stage.bought("25")
    await stage.bot._worker.listen()
    await stage.stop()
    stage.stripe.refund(intent_of(stage), 500)
    stage.world.clock.wind(days=32)
    await stage.start()

    await stage.became("refunded", within=60)
    assert await stage.balance() == "20.00"


async def test_a_lost_dispute_keeps_the_credit(stage: Stage) -> None:
    await stage.bought("25")
    dispute = stage.stripe.dispute(intent_of(stage), 1000)
    await stage.became("disputed")
    stage.stripe.close_dispute(dispute["id"], won=False)

    await stage.said("The dispute about the payment of $25.00 was decided for the cardholder. $10.00 stays off the")
    assert await stage.statuses() == ["disputed"]
    assert await stage.balance() == "15.00"


async def test_what_goes_back_before_the_bot_knows_that_it_was_paid(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card=None, webhooks=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("GET /v1/events", Kind.STATUS, None, code=500)  # nobody tells of it
    await stage.pay()
    stage.stripe.refund(intent_of(stage), 500)

    await stage.became("refunded", within=60)
    assert await stage.balance() == "20.00"


async def test_what_goes_back_while_the_payment_is_being_booked(open_stage: OpenStage) -> None:
    """Stripe's answer was that nothing had gone back. What it told meanwhile is looked into."""
    stage = await open_stage(card=None, webhooks=None)
    await stage.buy("25")
    await stage.said("Pay $25.00")
    stage.faults.arm("GET /v1/events", Kind.STATUS, None, code=500)
    bot, now = stage.bot, stage.world.clock.now() + LEASE
    [taken_up] = await bot.database.write(partial(store.claim, now=now, limit=1))
    await stage.pay()
    paid = await bot.gateway.checkout(stage.page["id"])
    stage.stripe.refund(intent_of(stage), 500)
    assert await bot.purchases.heed(Hint("evt_1", "charge.refunded", purchase_id=taken_up.id, reversal=True))

    assert await bot.purchases.settle(taken_up, paid)

    await stage.became("refunded", within=120)
    assert await stage.balance() == "20.00"


async def test_a_card_that_is_disputed_at_once(open_small_stage: OpenStage) -> None:
    stage = await open_small_stage(card="disputed")
    await stage.buy("25")

    await stage.became("disputed", within=60)
    assert await stage.balance() == "0.00"


def decide(stage: Stage, *, won: bool) -> None:
    stage.stripe.close_dispute(stage.stripe.state.disputes.newest_first()[0]["id"], won=won)


STEPS: dict[str, Callable[[Stage], object]] = {
    "7 back": lambda stage: stage.stripe.refund(intent_of(stage), 700),
    "3 back": lambda stage: stage.stripe.refund(intent_of(stage), 300),
    "5 disputed": lambda stage: stage.stripe.dispute(intent_of(stage), 500),
    "won": lambda stage: decide(stage, won=True),
    "lost": lambda stage: decide(stage, won=False),
}
STORIES = [  # and how many dollars are gone in the end
    (["7 back", "3 back", "5 disputed", "lost"], 15),
    (["3 back", "5 disputed", "won"], 3),
    (["5 disputed", "won", "7 back"], 7),
    (["7 back", "5 disputed"], 12),
    (["5 disputed", "lost"], 5),
    (["5 disputed", "won", "5 disputed", "lost"], 5),
]


@pytest.mark.parametrize(
    ("webhooks", "stories"),
    [("snapshot", STORIES), ("thin", STORIES[: examples(2)]), (None, STORIES[-examples(2) :])],
    ids=["snapshot", "thin", "none"],
)
async def test_whatever_the_order_the_balance_is_right_to_the_cent(
    open_small_stage: OpenStage, webhooks: str | None, stories: Sequence[tuple[list[str], int]]
) -> None:
    """What happened is held back and then heard of in any order, three times over."""
    stage = await open_small_stage(webhooks=webhooks)
    kept = 0
    for number, (steps, left) in enumerate(stories):
        await stage.bought(str(25 + number))
        stage.stripe.webhooks.hold()
        for step in steps:
            STEPS[step](stage)
        await stage.stripe.webhooks.release(shuffle=number, repeat=3)
        kept += 25 + number - left
    await stage.calm()

    assert await stage.balance() == f"{kept}.00"


async def test_one_purchase_that_goes_back_leaves_the_others_alone(stage: Stage) -> None:

    await stage.bought("25")
    first = intent_of(stage)
    await stage.bought("30")
    stage.stripe.refund(first, 100)
    stage.stripe.dispute(first)

    await stage.became("disputed", "settled")
    assert await stage.balance() == "30.00"
