"""The bot is killed at every step between the command and the settled card: one charge, one credit, one message."""

import re
from collections.abc import Awaitable, Callable, Sequence
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

from .conftest import NewDatabase
from .lives import KILLED, End, Nursery, Setting, Stand, everywhere
from .test_usage import WHEN_EVENTS_COME, WHEN_THEIR_PRICE_COMES

CREDITED = End(
    Status.SETTLED,
    ":white_check_mark: Paid and credited: $25.00. The new balance is *25.00* credits.",
    ":white_check_mark: <@U0ANNA> bought $25.00 of credits. The new balance is *25.00* credits.",
)
CANCELLED = End(
    Status.CANCELLED,
    "The purchase of $25.00 was cancelled. Nothing was charged.",
    "The purchase of $25.00 by <@U0ANNA> was not completed. Nothing was charged.",
)

Act = Callable[[Stand], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Story:
    """What is there at first, what the buyer does, and how it must end, wherever the bot is killed meanwhile."""

    act: Act
    setting: Setting = Setting()
    end: End = CREDITED


async def buy(stand: Stand) -> None:
    await stand.buy("25")


async def buy_and_pay(stand: Stand) -> None:
    await stand.buy("25")
    await stand.pay()


async def buy_and_cancel(stand: Stand) -> None:
    await stand.buy("25")
    await stand.cancel()


async def set_up_and_buy(stand: Stand) -> None:
    """The first start of all: the bot makes its tables, and while it runs somebody adds the account."""
    await stand.until(lambda: stand.alive, "the bot to start")
    await stand.found()
    await stand.buy("25")


SAVED_CARD = Story(buy)
PAGE = Story(buy_and_pay, Setting(card=None, webhooks="snapshot"))
DECLINED = Story(buy_and_pay, Setting(card="declined_later", webhooks="snapshot"))
ASKED_BY_THE_BANK = Story(buy_and_pay, Setting(card="authentication_required", webhooks="thin"))
CANCEL = Story(buy_and_cancel, Setting(card=None), CANCELLED)
CARD_WITH_WEBHOOKS = Story(buy, Setting(webhooks="snapshot"))
PAGE_WITH_THIN_WEBHOOKS = Story(buy_and_pay, Setting(card=None, webhooks="thin"))
FIRST_START = Story(set_up_and_buy, Setting(founded=False))

# Where each story is interrupted: at the last of these moments, once the others have passed in this order.
MOMENTS: dict[str, tuple[Story, Sequence[str]]] = {
    "the form is opened and submitted": (SAVED_CARD, ["K1", "K2", "K3", "K4", "K5"]),
    "a saved card is charged": (SAVED_CARD, ["K6", "K7", "K8", "K9", "K10", "K11", "K12"]),
    "Slack is told": (SAVED_CARD, ["K13", "K13 K13", "K14", "K14 K14",
                                   "K12 K13", "K12 K13 K13", "K12 K14", "K12 K14 K14"]),
    "a page is opened": (PAGE, ["K6", "K7", "C1", "C2", "C2 K13", "C2 K14"]),
    "a page is paid": (PAGE, ["C2 K11", "C2 K12", "C2 K12 K13", "C2 K12 K14 K14"]),
    "a saved card is declined": (DECLINED, ["K8", "K10", "C1", "C2", "C2 K14", "C2 K12"]),
    "the bank wants to see the buyer": (ASKED_BY_THE_BANK, ["K10", "C1", "K11"]),
    "a purchase is cancelled": (CANCEL, ["C2 K11", "C2 K12", "C2 K12 K13", "C2 K12 K14"]),
    "a webhook tells of a charged card": (CARD_WITH_WEBHOOKS, ["K9 W0", "K9 W1"]),
    "a webhook tells of a paid page": (PAGE, ["C2 W0", "C2 W1", "C2 W0 W0 W0", "C2 W1 W1 W1"]),
    "a thin webhook tells of a paid page": (PAGE_WITH_THIN_WEBHOOKS, ["C2 W0 W0", "C2 W1 W1"]),
    "the first start of all": (FIRST_START, ["G0", "G1", "G2"]),
}  # fmt: skip


@pytest.mark.parametrize("when", MOMENTS)
async def test_a_purchase_ends_right_wherever_the_bot_is_killed(when: str, nursery: Nursery, tmp_path: Path) -> None:
    story, places = MOMENTS[when]
    await everywhere(tmp_path, {place: partial(_told_through, nursery, story, [place.split()]) for place in places})


def test_no_moment_is_left_out() -> None:
    source = "".join(file.read_text() for file in Path(bot.__file__).parent.rglob("*.py"))
    covered = {place.split()[-1] for _, places in MOMENTS.values() for place in places}
    covered |= {place.split()[-1] for place in (*WHEN_EVENTS_COME, *WHEN_THEIR_PRICE_COMES)}
    assert covered == set(re.findall(r'faultpoint\("(\w+)"\)', source))


async def test_a_purchase_ends_right_however_often_the_bot_is_killed(nursery: Nursery, tmp_path: Path) -> None:
    lives = {
        "the card": (SAVED_CARD, ["K5", "K8", "K8", "K9", "K10", "K11", "K12", "K13", "K14", "K14"]),
        "the page": (DECLINED, ["K8", "K10", "C1", "C1", "C2", "K11", "K11", "K12", "K14"]),
    }
    await everywhere(
        tmp_path,
        {
            name: partial(_told_through, nursery, story, [[place] for place in places])
            for name, (story, places) in lives.items()
        },
    )


# Each call that the bot makes of Stripe and Slack: it is killed while the call is under way, and the call is answered
# to nobody.
CALLS: dict[str, tuple[Story, Sequence[str]]] = {
    "a saved card": (SAVED_CARD, ["users.info", "views.open", "views.update", "POST /v1/payment_intents",
                                  "POST /v1/payment_intents/*/confirm", "conversations.open", "chat.postMessage"]),
    "a first page": (PAGE, ["POST /v1/customers", "POST /v1/customers/*", "POST /v1/checkout/sessions", "chat.update",
                            "GET /v1/checkout/sessions/*"]),
    "a page after a decline": (DECLINED, ["POST /v1/payment_intents/*/confirm", "POST /v1/payment_intents/*/cancel",
                                          "POST /v1/checkout/sessions"]),
    "a cancelled page": (CANCEL, ["POST /v1/checkout/sessions/*/expire"]),
}  # fmt: skip


@pytest.mark.parametrize("way", CALLS)
async def test_a_purchase_ends_right_when_the_bot_is_killed_in_the_middle_of_a_call(
    way: str, nursery: Nursery, tmp_path: Path
) -> None:
    story, calls = CALLS[way]
    await everywhere(tmp_path, {call: partial(_killed_in_a_call, nursery, story, call) for call in calls})


async def _killed_in_a_call(nursery: Nursery, story: Story, call: str, folder: Path) -> None:
    async with Stand.open(nursery, folder, story.setting) as stand:

        async def killed(seconds: float) -> None:
            await stand.kill()

        stand.world.faults.sleep = killed
        stand.world.faults.arm(call, Kind.HANG)
        await _live_through(stand, story, [])
        assert stand.ends == [KILLED], f"{call} was never made"


async def test_a_buyer_who_pays_while_the_bot_is_dead_is_credited_when_it_is_back(
    nursery: Nursery, tmp_path: Path
) -> None:
    async with Stand.open(nursery, tmp_path, Setting(card=None)) as stand:
        stand.meanwhile.append(stand.pay)
        await _live_through(stand, Story(buy), [["C2", "K14"]])


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
        await _finish(stand, CREDITED)


# ── migrations ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("place", "survives"), [("G0", False), ("G1", False), ("G2", True)])
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
async def test_a_killed_migration_leaves_all_or_nothing(
    kind: str, place: str, survives: bool, nursery: Nursery, tmp_path: Path, new_database: NewDatabase
) -> None:
    url = new_database() if kind == "postgres" else ""
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
    places = ["K4", "K8", "K10", "K12", "K14", "K12 K14"]
    urls = [new_database() for _ in places]
    await everywhere(
        tmp_path,
        {
            place: partial(_told_through, nursery, SAVED_CARD, [place.split()], database_url=url)
            for place, url in zip(places, urls, strict=True)
        },
    )


# ── how a story is told ───────────────────────────────────────────────────────────────────────────────────────────


async def _told_through(
    nursery: Nursery, story: Story, deaths: Sequence[Sequence[str]], folder: Path, *, database_url: str = ""
) -> None:
    async with Stand.open(nursery, folder, story.setting, database_url=database_url) as stand:
        if database_url:
            stand.meanwhile.append(stand.wait_for_leases)
        await _live_through(stand, story, deaths)
        assert stand.ends == [KILLED] * len(deaths)


async def _live_through(stand: Stand, story: Story, deaths: Sequence[Sequence[str]]) -> None:
    stand.live(*deaths)
    await story.act(stand)
    await stand.until(lambda: len(stand.ends) >= len(deaths) and stand.alive, f"the bot to die at {deaths}")
    await _finish(stand, story.end)


async def _finish(stand: Stand, end: End) -> None:
    """The end is told, nothing more comes of sending the form or the webhooks again, and the bot leaves in peace."""
    await stand.told(end)
    again = await stand.slack.replay(stand.submitted[OWNER])
    assert again.body["view"]["callback_id"] == names.NOTICE
    await stand.notified()
    await stand.rested()
    assert await stand.stop() == 0
    assert stand.heard(end)
    await stand.prove(end.status)
