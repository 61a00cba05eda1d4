"""Random deaths, random faults, random buyers: whatever comes, what is paid is credited once and told once.

``KILL_SEEDS`` is how many worlds are lived through and ``KILL_FIRST_SEED`` where they begin. A seed draws everything
but the timing of the processes.
"""

import asyncio
import os
from functools import partial
from pathlib import Path
from random import Random

from bot.purchases.model import Status
from bot.sandbox.faults import Kind
from bot.sandbox.world import OWNER, SECOND_OWNER

from .lives import Nursery, Setting, Stand, everywhere

SEEDS = int(os.environ.get("KILL_SEEDS", "4"))
FIRST_SEED = int(os.environ.get("KILL_FIRST_SEED", "1"))

SAVED = ("visa", "visa", "declined_later", "authentication_required", None)
ON_THE_PAGE = ("visa", "visa", "visa", "insufficient_funds", "three_d_secure_2")
MOMENTS = ("K3", "K4", "K5", "K6", "K7", "K8", "K9", "K10", "K11", "K12", "K13", "K14", "C1", "C2", "W0", "W1")
CALLS = ("POST /v1/payment_intents", "POST /v1/payment_intents/*", "POST /v1/checkout/*", "GET /v1/*", "chat.*")
TROUBLE = (Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.STATUS, Kind.RATE_LIMITED)
CREDITED, CANCELLED = ":white_check_mark: Paid and credited", "The purchase of"


async def test_whatever_comes_what_is_paid_is_credited_once_and_told_once(nursery: Nursery, tmp_path: Path) -> None:
    seeds = range(FIRST_SEED, FIRST_SEED + SEEDS)
    await everywhere(tmp_path, {f"seed {seed}": partial(_live, nursery, Random(seed)) for seed in seeds})


async def _live(nursery: Nursery, random: Random, folder: Path) -> None:
    setting = Setting(card=random.choice(SAVED), webhooks=random.choice(("", "snapshot", "thin")))
    async with Stand.open(nursery, folder, setting) as stand:
        stand.slack.people[SECOND_OWNER].locale = "en-US"
        for _ in range(random.randrange(3)):
            stand.world.faults.arm(random.choice(CALLS), random.choice(TROUBLE), stored=random.random() < 0.5)
        stand.live(*([random.choice(MOMENTS)] * random.randint(1, 2) for _ in range(random.randrange(4))))
        buyers = {OWNER: "25", SECOND_OWNER: "40"} if random.random() < 0.5 else {OWNER: "25"}
        await asyncio.gather(
            *(_shop(stand, Random(random.random()), person, amount) for person, amount in buyers.items())
        )
        await stand.until(lambda: stand.alive, "the bot to come back")
        await stand.notified()
        await stand.rested()
        assert await stand.stop() == 0
        credited = [_said(stand, person).startswith(CREDITED) for person in buyers]
        await stand.prove(*(Status.SETTLED if yes else Status.CANCELLED for yes in credited))


async def _shop(stand: Stand, random: Random, person: str, amount: str) -> None:
    """Buy, press more often than needed, and do what the message says until it says that it is over."""
    await stand.buy(amount, person)
    again = stand.submitted[person]
    await asyncio.gather(*(stand.slack.replay(again) for _ in range(random.randrange(4))))
    while not _over(stand, person):
        await stand.until(lambda: _over(stand, person) or stand.link(person), "something to do")
        if link := stand.link(person):
            await _pay_or_cancel(stand, random, person)
            if not stand.stripe.webhooks.endpoints and random.random() < 0.9:
                await stand.kill()  # its next life asks Stripe at once, and this test need not wait for the alarm
            await stand.until(lambda: _over(stand, person) or _payable(stand, link), "news of the payment")


async def _pay_or_cancel(stand: Stand, random: Random, person: str) -> None:
    pay, cancel = partial(stand.pay, random.choice(ON_THE_PAGE), person), partial(stand.cancel, person)
    chance = random.random()
    if chance < 0.8:
        await pay()
    elif chance < 0.9:
        await cancel()
    else:
        await asyncio.gather(cancel(), pay())


def _payable(stand: Stand, link: str) -> bool:
    return bool(stand.stripe.state.sessions.get(link.rpartition("/")[2])["status"] == "open")


def _over(stand: Stand, person: str) -> bool:
    return _said(stand, person).startswith((CREDITED, CANCELLED))


def _said(stand: Stand, person: str) -> str:
    return next((message.text for message in stand.cards(person)[-1:]), "")
