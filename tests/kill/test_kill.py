"""The bot is killed at every step between the command and the settled card: one charge, one credit, one message."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import inspect

import bot
from bot.db.engine import Database
from bot.db.migrate import current, newest
from bot.purchases.model import Status
from bot.sandbox.faults import Kind
from bot.sandbox.world import OWNER
from bot.slack import names

from ..conftest import THOROUGH
from .conftest import NewDatabase
from .lives import KILLED, End, Nursery, Setting, Stand, everywhere
from .test_alerts import WHEN_CREDITS_RUN_OUT
from .test_support import WHEN_A_CASE_IS_WRITTEN
from .test_usage import WHEN_EVENTS_COME, WHEN_THEIR_PRICE_COMES


def credited(dollars: int, balance: int) -> End:
    return End(
        Status.SETTLED,
        f":white_check_mark: Paid and credited: ${dollars}.00. The new balance is *{balance}.00* credits.",
        f":white_check_mark: <@U0ANNA> bought ${dollars}.00 of credits. The new balance is *{balance}.00* credits.",
    )


def cancelled(dollars: int, _: int) -> End:
    return End(
        Status.CANCELLED,
        f"The purchase of ${dollars}.00 was cancelled. Nothing was charged.",
        f"The purchase of ${dollars}.00 by <@U0ANNA> was not completed. Nothing was charged.",
    )


Act = Callable[[Stand, int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Story:
    """What is there at first, what the buyer does, and how it must end, wherever the bot is killed meanwhile.

    ``act`` is told for how many dollars to buy; ``end`` that, and the balance once all purchases so far are credited.
    """

    act: Act
    setting: Setting = Setting()
    end: Callable[[int, int], End] = credited


async def buy(stand: Stand, dollars: int) -> None:
    await stand.buy(str(dollars))


async def buy_and_pay(stand: Stand, dollars: int) -> None:
    """The buyer keeps the card to themselves: the next purchase begins as this one did."""
    await stand.buy(str(dollars))
    await stand.pay(save=False)


async def buy_and_cancel(stand: Stand, dollars: int) -> None:
    await stand.buy(str(dollars))
    await stand.cancel()


async def set_up_and_buy(stand: Stand, dollars: int) -> None:
    """The first start of all: the bot makes its tables, and while it runs somebody adds the account."""
    await stand.until(lambda: stand.alive, "the bot to start")
    await stand.add_account()
    await stand.buy(str(dollars))


SAVED_CARD = Story(buy)
PAGE = Story(buy_and_pay, Setting(card=None, webhooks="snapshot"))
DECLINED = Story(buy_and_pay, Setting(card="declined_later", webhooks="snapshot"))
ASKED_BY_THE_BANK = Story(buy_and_pay, Setting(card="authentication_required", webhooks="thin"))
CANCEL = Story(buy_and_cancel, Setting(card=None), cancelled)
CARD_WITH_WEBHOOKS = Story(buy, Setting(webhooks="snapshot"))
PAGE_WITH_THIN_WEBHOOKS = Story(buy_and_pay, Setting(card=None, webhooks="thin"))
FIRST_START = Story(set_up_and_buy, Setting(founded=False))

# Where each story is interrupted: at the last of these moments, once the others have passed in this order. A line is a
# world: one purchase for each place, after each other. Only the first finds no customer at Stripe where none was.
MOMENTS: dict[str, tuple[Story, Sequence[Sequence[str]]]] = {
    "the form is opened and submitted": (SAVED_CARD, [["K1", "K2", "K3", "K4", "K5"]]),
    "a saved card is charged": (SAVED_CARD, [["K6", "K7", "K8", "K9"],
                                             ["K10", "K11", "K12"]]),
    "Slack is told": (SAVED_CARD, [["K13", "K14"],
                                   ["K12 K13", "K12 K14"]]),
    "a page is opened": (PAGE, [["K7", "K6", "C2", "C2 K13"],
                                ["C1", "C2 K14"]]),
    "a page is paid": (PAGE, [["C2 K11", "C2 K12", "C2 K12 K13"]]),
    "a saved card is declined": (DECLINED, [["K8", "K10", "C1"],
                                            ["C2", "C2 K14", "C2 K12"]]),
    "the bank wants to see the buyer": (ASKED_BY_THE_BANK, [["K10", "C1", "K11"]]),
    # K11 comes first: later the bot passes it once more for what was cancelled before, when it hears that of Stripe.
    "a purchase is cancelled": (CANCEL, [["C2 K11", "C2 K12", "C2 K12 K13", "C2 K12 K14"]]),
    "a webhook tells of a charged card": (CARD_WITH_WEBHOOKS, [["K9 W0", "K9 W1"]]),
    "a webhook tells of a paid page": (PAGE, [["C2 W0", "C2 W1"]]),
    "a thin webhook tells of a paid page": (PAGE_WITH_THIN_WEBHOOKS, [["C2 W0 W0", "C2 W1 W1"]]),
    "the first start of all": (FIRST_START, [["G0"], ["G1"], ["G2"]]),
}  # fmt: skip
if THOROUGH > 1:  # the same moments when they come for the second or the third time
    MOMENTS |= {
        "Slack is told again": (SAVED_CARD, [["K13 K13", "K14 K14"],
                                             ["K12 K13 K13", "K12 K14 K14"]]),
        "Slack is told again of a paid page": (PAGE, [["C2 K12 K14 K14"]]),
        "a webhook tells again of a paid page": (PAGE, [["C2 W0 W0 W0", "C2 W1 W1 W1"]]),
    }  # fmt: skip


@pytest.mark.parametrize("when", MOMENTS)
async def test_a_purchase_ends_right_wherever_the_bot_is_killed(when: str, nursery: Nursery, tmp_path: Path) -> None:
    story, worlds = MOMENTS[when]
    told = _told_through if story is FIRST_START else _killed_at_each
    await everywhere(tmp_path, {", ".join(places): partial(told, nursery, story, places) for places in worlds})


def test_no_moment_is_left_out() -> None:
    source = "".join(file.read_text() for file in Path(bot.__file__).parent.rglob("*.py"))
    covered = {place.split()[-1] for _, worlds in MOMENTS.values() for places in worlds for place in places}
    covered |= {place.split()[-1] for place in (*WHEN_CREDITS_RUN_OUT, *WHEN_EVENTS_COME, *WHEN_THEIR_PRICE_COMES)}
    covered |= {place.split()[-1] for place in WHEN_A_CASE_IS_WRITTEN}
    assert covered == set(re.findall(r'faultpoint\("(\w+)"\)', source))


async def test_a_purchase_ends_right_however_often_the_bot_is_killed(nursery: Nursery, tmp_path: Path) -> None:
    lives = {
        "the card": (SAVED_CARD, ["K5", "K8", "K8", "K9", "K10", "K11", "K12", "K13", "K14", "K14"]),
        "the page": (DECLINED, ["K8", "K10", "C1", "C1", "C2", "K11", "K11", "K12", "K14"]),
    }
    await everywhere(
        tmp_path,
        {name: partial(_told_through, nursery, story, places) for name, (story, places) in lives.items()},
    )


# Each call that the bot makes of Stripe and Slack: it is killed while the call is under way, and the call is answered
# to nobody. A line is a world, as above; a bot that is asked a second time knows its buyer.
CALLS: dict[str, tuple[Story, Sequence[Sequence[str]]]] = {
    "a saved card": (SAVED_CARD, [["users.info", "views.open", "views.update", "chat.postMessage"],
                                  ["POST /v1/payment_intents", "POST /v1/payment_intents/*/confirm",
                                   "conversations.open"]]),
    "a first page": (PAGE, [["POST /v1/customers", "chat.update"],
                            ["POST /v1/customers/*", "POST /v1/checkout/sessions", "GET /v1/checkout/sessions/*"]]),
    "a page after a decline": (DECLINED, [["POST /v1/payment_intents/*/confirm", "POST /v1/payment_intents/*/cancel",
                                           "POST /v1/checkout/sessions"]]),
    "a cancelled page": (CANCEL, [["POST /v1/checkout/sessions/*/expire"]]),
}  # fmt: skip


@pytest.mark.parametrize("way", CALLS)
async def test_a_purchase_ends_right_when_the_bot_is_killed_in_the_middle_of_a_call(
    way: str, nursery: Nursery, tmp_path: Path
) -> None:
    story, worlds = CALLS[way]
    await everywhere(tmp_path, {", ".join(calls): partial(_killed_in_each, nursery, story, calls) for calls in worlds})


async def test_a_buyer_who_pays_while_the_bot_is_dead_is_credited_when_it_is_back(
    nursery: Nursery, tmp_path: Path
) -> None:
    async with Stand.open(nursery, tmp_path, Setting(card=None)) as stand:
        stand.meanwhile.append(stand.pay)
        stand.live()
        await stand.buy()
        await stand.until(stand.link, "a link to Stripe's page")
        await stand.kill()
        await _finish(stand, credited(25, 25))
        assert stand.ends == [KILLED]


async def test_pressing_again_what_was_stored_and_never_answered_shows_the_first_purchase(
    nursery: Nursery, tmp_path: Path
) -> None:
    async with Stand.open(nursery, tmp_path) as stand:
        stand.live(["K5"])
        await stand.fill_in("25")
        unanswered = await stand.slack.submit(OWNER)
        assert unanswered.error
        await stand.submit()
        shown = stand.slack.modal(OWNER)
        assert shown
        assert shown.view["callback_id"] == names.NOTICE, "the first purchase, not a question about a second one"
        assert "$25.00" in str(shown.blocks)
        await _finish(stand, credited(25, 25))


# ── migrations ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("place", "survives"), [("G0", False), ("G1", False), ("G2", True)])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_killed_migration_leaves_all_or_nothing(
    kind: str, place: str, survives: bool, nursery: Nursery, tmp_path: Path, new_empty_database: NewDatabase
) -> None:
    url = new_empty_database() if kind == "postgres" else ""
    async with Stand.open(nursery, tmp_path, Setting(founded=False), database_url=url) as stand:
        killed = await stand.start([place], command=["migrate"])
        assert await killed.end == KILLED
        async with stand.database() as database:
            assert await current(database) == (newest() if survives else None)
            assert bool(await _tables(database)) is survives
        again = await stand.start(command=["migrate"])
        assert await again.end == 0
        async with stand.database() as database:
            assert await current(database) == newest()


async def _tables(database: Database) -> list[str]:
    async with database.read() as tx:
        return await tx.run_sync(lambda connection: inspect(connection).get_table_names())


# ── several processes ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_on_postgresql_what_the_dead_had_in_hand_is_taken_over(
    nursery: Nursery, tmp_path: Path, new_database: NewDatabase
) -> None:
    """There a lease of the dead runs out by itself: the next bot lives after that."""
    worlds = [["K4", "K8", "K10"], ["K12", "K14", "K12 K14"]]
    told = partial(_killed_at_each, nursery, SAVED_CARD)
    await everywhere(
        tmp_path, {", ".join(places): partial(told, places, database_url=new_database()) for places in worlds}
    )


# ── how a story is told ───────────────────────────────────────────────────────────────────────────────────────────


async def _killed_at_each(
    nursery: Nursery, story: Story, places: Sequence[str], folder: Path, *, database_url: str = ""
) -> None:
    """A purchase for each place, and a life: it ends the purchase that the one before died of, and dies of the next."""
    async with Stand.open(nursery, folder, story.setting, database_url=database_url) as stand:
        if database_url:
            stand.meanwhile.append(stand.wait_for_leases)
        stand.live(*map(str.split, places), on_word=True)
        await _buy_and_buy(stand, story, dict.fromkeys(places, stand.give_the_word))


async def _killed_in_each(nursery: Nursery, story: Story, calls: Sequence[str], folder: Path) -> None:
    """As ``_killed_at_each``, in the middle of these calls."""
    async with Stand.open(nursery, folder, story.setting) as stand:

        async def killed(seconds: float) -> None:
            await stand.kill()

        stand.world.faults.sleep = killed
        stand.live()
        await _buy_and_buy(stand, story, {call: partial(stand.world.faults.arm, call, Kind.HANG) for call in calls})


async def _buy_and_buy(stand: Stand, story: Story, deaths: Mapping[str, Callable[[], object]]) -> None:
    """For each death prepare it, buy, see the bot die of it once, and see all come right before the next."""
    ends: list[End] = []
    bought = 0
    for number, (death, prepare) in enumerate(deaths.items(), start=1):
        try:
            await stand.until(lambda: stand.alive, "the bot to be there")
            prepare()
            dollars = 24 + number
            await story.act(stand, dollars)
            await stand.until(lambda: len(stand.ends) >= number and stand.alive, "the bot to die")  # noqa: B023
            bought += dollars
            ends.append(story.end(dollars, bought))
            await _finish(stand, *ends, leaves=number == len(deaths))
            assert stand.ends == [KILLED] * number
        except BaseException as error:
            error.add_note(f"purchase {number}, killed at: {death}")
            raise


async def _told_through(nursery: Nursery, story: Story, places: Sequence[str], folder: Path) -> None:
    """One purchase, and a death at each place."""
    async with Stand.open(nursery, folder, story.setting) as stand:
        stand.live(*map(str.split, places))
        await story.act(stand, 25)
        await stand.until(lambda: len(stand.ends) >= len(places) and stand.alive, f"the bot to die at {places}")
        await _finish(stand, story.end(25, 25))
        assert stand.ends == [KILLED] * len(places)


async def _finish(stand: Stand, *ends: End, leaves: bool = True) -> None:
    """The end is told, nothing more comes of sending the form or the webhooks again, and the bot leaves in peace."""
    await stand.told(*ends)
    again = await stand.slack.replay(stand.submitted[OWNER])
    assert again.body["view"]["callback_id"] == names.NOTICE
    await stand.notified()
    await stand.rested()
    if leaves:
        assert await stand.stop() == 0
    assert stand.heard(*ends)
    await stand.prove(*(end.status for end in ends))
