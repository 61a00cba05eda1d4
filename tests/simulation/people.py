"""What people, banks and bad luck do in a world: each a coroutine that lives its own life in virtual time."""

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any

from slack_sdk.models.views import View

from bot.accounts.model import Plan
from bot.accounts.model import Workspace as Home
from bot.errors import Outage, Refusal
from bot.purchases import views
from bot.purchases.model import LIVE, PayWith
from bot.sandbox.stripe import Outcome
from bot.sandbox.stripe.errors import StripeRefusal
from bot.sandbox.stripe.webhooks import sign, thin
from bot.slack import names
from bot.text import texts_for

from .loop import inside, outside
from .odds import CARDS_ON_THE_PAGE
from .process import WEBHOOK_SECRET, Process
from .wires import request
from .world import ANNA, BO, MAJA, OWNERS, TEAM, Form, Json, World

HOME = Home("", TEAM)
AMOUNTS = (100, 2500, 2500, 12_345, 10_000_000)
ACK_WITHIN = 3.0
_BUYING = "SELECT * FROM purchases WHERE status IN ({})".format(", ".join(f"'{status}'" for status in LIVE))
_FORM_TITLE = texts_for(None)("buy.title")


def everybody(world: World) -> list[Coroutine[Any, Any, None]]:
    odds = world.odds
    world.stripe.watch(Bank(world).on_event)
    world.stripe.watch(Courier(world).on_event)
    return [
        *(Buyer(world).buy() for _ in range(odds.purchases)),
        *(lose_right(world) for _ in range(odds.losses_of_right)),
        *(jump(world) for _ in range(odds.jumps)),
    ]


# ── buyers ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Args:
    """What Bolt hands to a listener, as far as a submitted form needs it."""

    def __init__(self, user: str, view: Json) -> None:
        self.body = {
            "type": "view_submission",
            "user": {"id": user, "team_id": TEAM},
            "team": {"id": TEAM},
            "view": {"id": "V1", "hash": "1", **view},
        }
        self.client = self
        self.acked = asyncio.Event()
        self.answer: Json = {}

    async def ack(self, **answer: Any) -> None:
        if not self.acked.is_set():
            self.answer = answer
            self.acked.set()

    async def views_update(self, **_: Any) -> Json:
        return {"view": {}}


class Buyer:
    """Opens a form, submits it, perhaps too often, and pays, gives up or wanders off."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.user = self.random.choice([ANNA, ANNA, BO, BO, MAJA])
        self.cents = self.random.choice(AMOUNTS)

    async def buy(self) -> None:
        odds = self.world.odds
        await asyncio.sleep(self.random.uniform(0, 10 if odds.rush else 0.7 * odds.length))
        for _ in range(4):
            if form := await self._open():
                break
            await asyncio.sleep(self.random.uniform(2, 40))
        else:
            return
        await asyncio.sleep(self.random.uniform(1, 5 if odds.rush else 60))
        await self._submit(form)
        if self.random.random() < self.world.odds.twice:
            outside(self._replay(form))
        if form.accepted:
            await self._follow(form)

    async def _open(self) -> Form | None:
        process = self.world.someone_at_work()
        if process is None:
            return None
        task = inside(process, self._look_at_form(process))
        await asyncio.wait([task], timeout=30)
        return task.result() if task.done() and not task.cancelled() else None

    async def _look_at_form(self, process: Process) -> Form | None:
        try:
            offer = await process.purchases.offer(HOME, self.user)
        except (Refusal, Outage):
            return self._smuggled(process) if self.user not in OWNERS else None
        pay_with, card = await process.purchases.card(offer.account)
        if card and self.random.random() < 0.1:
            pay_with, card = PayWith.CHECKOUT, None
        return self._form(offer.nonce, pay_with, card)

    def _smuggled(self, process: Process) -> Form:
        """Somebody without the right has got hold of a form all the same."""
        nonce = self.world.parts.nonces(b"a secret").make(HOME, self.user, process.clock.now())
        return self._form(nonce, PayWith.EITHER, None)

    def _form(self, signed: str, pay_with: PayWith, card: Any) -> Form:
        form = Form(self.user, signed.rpartition(".")[0], views.Form(signed, pay_with, card).dumps(), self.cents)
        self.world.forms.append(form)
        self.world.note(f"{self.user} has form {len(self.world.forms)}: {self.cents} cents, {pay_with}")
        return form

    async def _submit(self, form: Form) -> None:
        """Until it is accepted or refused for good; with several presses at once where fingers are quick."""
        for _ in range(5):
            presses = self.random.randint(2, 4) if self.random.random() < self.world.odds.twice else 1
            said = await asyncio.gather(*(self._press(form, self.random.uniform(0, 0.2)) for _ in range(presses)))
            self.world.note(f"{self.user} submits: {' '.join(said)}")
            if form.accepted or "refused" in said:
                return
            if "again?" in said and self.random.random() < 0.3:
                return
            await asyncio.sleep(self.random.uniform(1, 30))

    async def _replay(self, form: Form) -> None:
        """The same signed request once more, minutes later."""
        await self._press(form, self.random.uniform(1, 300))

    async def _press(self, form: Form, delay: float) -> str:
        await asyncio.sleep(delay)
        process = self.world.someone_at_work()
        if process is None:
            return "silence"
        args = Args(self.user, _submission(form))
        begun = self.world.now
        task: asyncio.Task[None] = inside(process, process.submit(args))
        acked = outside(_wait(args.acked))
        await asyncio.wait([acked, task], timeout=ACK_WITHIN, return_when=asyncio.FIRST_COMPLETED)
        acked.cancel()
        form.pressed.append((begun, self.world.now))
        if not task.done():
            task.add_done_callback(lambda _: form.pressed.append((begun, self.world.now)))
        return self._hear(form, args.answer) if args.acked.is_set() else "silence"

    def _hear(self, form: Form, answer: Json) -> str:
        view: View | None = answer.get("view")
        if "errors" in answer:
            return "busy"
        if view is None:
            form.accepted = True
            return "acked"
        if view.callback_id == names.BUY_AGAIN_FORM:
            form.metadata = view.private_metadata or ""
            return "again?"
        if view.title and view.title.text == _FORM_TITLE:
            form.accepted = True
            return "accepted"
        return "refused"

    async def _follow(self, form: Form) -> None:
        """Watch the card in Slack and act on it, for as long as this person has patience."""
        if self.random.random() < self.world.odds.answered_late:
            await asyncio.sleep(self.random.uniform(120, 1800))
        patience = self.world.now + 7200
        while self.world.now < patience:
            await asyncio.sleep(self.random.uniform(2, 40))
            rows = self.world.rows("SELECT * FROM purchases WHERE nonce LIKE ? || '%'", form.nonce)
            if rows and all(row["status"] not in LIVE for row in rows):
                return
            for row in rows:
                if row["status"] == "checkout" and await self._act(row["id"], row["session_id"]):
                    return

    async def _act(self, purchase: str, session: str) -> bool:
        """Do something about an open page. True when this person thinks they are done."""
        chance = self.random.random()
        if chance < self.world.odds.abandons:
            return True
        if self.random.random() < self.world.odds.cancels:
            await self.cancel(purchase)
            if self.random.random() < 0.7:
                return False
        tabs = 2 if self.random.random() < 0.2 else 1
        await asyncio.gather(*(self.pay(session) for _ in range(tabs)))
        return False

    async def cancel(self, purchase: str) -> None:
        if process := self.world.someone_at_work():
            self.world.note(f"{self.user} cancels {purchase}")
            task = inside(process, process.purchases.cancel(HOME, self.user, purchase))
            await asyncio.wait([task], timeout=10)
            if task.done() and not task.cancelled() and isinstance(task.exception(), Outage):
                self.world.note("... in vain")

    async def pay(self, session: str) -> None:
        await asyncio.sleep(self.random.uniform(0, 5))
        card = self.random.choice(CARDS_ON_THE_PAGE)
        authenticate = self.random.choice([True, True, False, None])
        payment = await self.world.stripe.pay(session, card, save=self.random.random() < 0.5, authenticate=authenticate)
        self.world.note(f"{self.user} pays {session[:12]} by {card}: {payment.outcome.name}")
        if payment.outcome is Outcome.CHALLENGE and payment.intent:
            await asyncio.sleep(self.random.uniform(1, 300))
            try:
                self.world.stripe.authenticate(payment.intent, ok=self.random.random() < 0.8)
            except StripeRefusal:
                self.world.note(f"{self.user} answers the bank too late")


def _submission(form: Form) -> Json:
    typed = f"{form.cents // 100}.{form.cents % 100:02}"
    return {
        "callback_id": names.BUY_FORM,
        "private_metadata": form.metadata,
        "blocks": [{"type": "input", "block_id": "amount_typed", "element": {"action_id": names.AMOUNT}}],
        "state": {"values": {"amount_typed": {names.AMOUNT: {"value": typed}}}},
    }


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


# ── bank, merchant, Stripe's courier ──────────────────────────────────────────────────────────────────────────────


class Bank:
    """Answers debits after a while, and lets some payments go back."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random

    def on_event(self, event: Json) -> None:
        intent = event["data"]["object"]["id"]
        if event["type"] == "payment_intent.processing":
            self.world.join(self._answer(intent))
        elif event["type"] == "payment_intent.succeeded" and self.random.random() < self.world.odds.reversals:
            self.world.join(self._take_back(intent, event["data"]["object"]["amount"]))

    async def _answer(self, intent: str) -> None:
        await asyncio.sleep(self.random.uniform(30, 2400))
        self.world.stripe.finish_processing(intent, ok=self.random.random() < 0.6)

    async def _take_back(self, intent: str, cents: int) -> None:
        for _ in range(self.random.randint(1, 5)):
            await asyncio.sleep(self.random.choice([0.5, 60.0, 60.0, 600.0]) * self.random.random())
            try:
                await self._once(intent, cents)
            except StripeRefusal as refusal:
                self.world.note(f"bank: {refusal}")

    async def _once(self, intent: str, cents: int) -> None:
        stripe = self.world.stripe
        match self.random.choice(["refund", "part", "part", "comes back", "dispute"]):
            case "refund":
                stripe.refund(intent)
            case "part":
                stripe.refund(intent, max(1, cents // 3))
            case "comes back":
                refund = stripe.refund(intent, max(1, cents // 4))
                await asyncio.sleep(self.random.uniform(1, 900))
                stripe.fail_refund(refund["id"])
            case _:
                dispute = stripe.dispute(intent)
                await asyncio.sleep(self.random.uniform(1, 900))
                stripe.close_dispute(dispute["id"], won=self.random.random() < 0.5)


class Courier:
    """Brings webhooks: some never, some several times, some late, in no order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.thin = self.random.random() < 0.3

    def on_event(self, event: Json) -> None:
        odds = self.world.odds
        if odds.webhooks == "none" or (odds.webhooks == "some" and self.random.random() < 0.5):
            return
        times = self.random.randint(2, 5) if self.random.random() < odds.repeated_webhooks else 1
        for _ in range(times):
            late = self.random.uniform(1, 1200) if self.random.random() < 0.2 else self.random.uniform(0.05, 2)
            self.world.join(self._bring(event, late))

    async def _bring(self, event: Json, late: float) -> None:
        for wait in (late, 5.0, 300.0):
            await asyncio.sleep(wait)
            process = self.world.someone_at_work()
            if process and await self._deliver(event, process):
                return

    async def _deliver(self, event: Json, process: Process) -> bool:
        body = json.dumps(thin(event) if self.thin else event)
        headers = {"Stripe-Signature": sign(body, WEBHOOK_SECRET), "Content-Type": "application/json"}
        call = request(process.web, "POST", "/stripe/webhook", headers=headers, body=body.encode())
        task = inside(process, call)
        await asyncio.wait([task], timeout=10)
        return task.done() and not task.cancelled() and task.result().status == 200


# ── bad luck ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def lose_right(world: World) -> None:
    """An owner is demoted, leaves, or the plan lapses, often while they are buying; often that is put right again."""
    await asyncio.sleep(world.random.uniform(0, 0.9) * world.odds.length)
    kind, user = world.random.choice(["demoted", "lapsed", "left"]), world.random.choice(OWNERS)
    if world.random.random() < 0.7:
        user = await _somebody_buying(world) or user
    await _set(world, kind, user, right=False)
    if world.random.random() < 0.6:
        await asyncio.sleep(world.random.uniform(10, 1800))
        await _set(world, kind, user, right=True)


async def _somebody_buying(world: World) -> str | None:
    """The first who has a purchase under way from now on."""
    while world.troubled:
        for row in world.rows(_BUYING):
            return str(row["buyer_id"])
        await asyncio.sleep(0.5)
    return None


async def _set(world: World, kind: str, user: str, *, right: bool) -> None:
    match kind:
        case "demoted":
            around = {user} if right else set()
            await world.change_account(lambda it: replace(it, owners=(it.owners - {user}) | around))
        case "lapsed":
            plan = Plan.ADVANCED if right else Plan.FREE_TRIAL
            await world.change_account(lambda it: replace(it, plan=plan))
        case _:
            world.slack.person(user).deleted = not right
    world.note(f"{kind}{', put right' if right else ''}: {user}")
    await world.look_at_rights()


async def jump(world: World) -> None:
    """The clocks of the bot's machines jump, and back. Replicas jump together.

    Machines whose clocks are hours apart would each hold the other's leases for void.
    """
    await asyncio.sleep(world.random.uniform(0, 0.9) * world.odds.length)
    if world.troubled:
        hours = world.random.choice([-2, -2, 2, 2, 30])
        world.strikes(1.0, f"the clocks jump {hours} h")
        world.wrong_by = timedelta(hours=hours)
        await asyncio.sleep(world.random.uniform(10, 1800))
        world.strikes(1.0, "the clocks jump back")
        world.wrong_by = timedelta(0)


async def tidy_up(world: World) -> None:
    """Pages that wait for people who went away, or never knew that their form had arrived."""
    for row in world.rows(_BUYING):
        buyer = Buyer(world)
        buyer.user = row["buyer_id"]
        if row["id"] in world.abandoned or world.random.random() < world.odds.abandons:
            world.abandoned.add(row["id"])
        elif row["session_id"] and world.random.random() < 0.5:
            await buyer.pay(row["session_id"])
        else:
            await buyer.cancel(row["id"])
