"""Any order of owing, delivering, dying and Slack's troubles ends with one message for each key: the newest."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot import faultpoint
from bot.outbox.model import Channel
from bot.sandbox.faults import Kind
from tests.conftest import examples

from .world import Killed, World

CALLS = ["conversations.open", "chat.postMessage", "chat.update", "conversations.history"]
TROUBLES = [Kind.CUT_BEFORE, Kind.CUT_AFTER, Kind.STATUS, Kind.HTML, Kind.RATE_LIMITED]

owe = st.tuples(st.just("owe"), st.integers(0, 2))
deliver = st.just(("deliver",))
die = st.tuples(st.just("die"), st.sampled_from(["K13", "K14"]))
trouble = st.tuples(st.just("trouble"), st.sampled_from(CALLS), st.sampled_from(TROUBLES))
wait = st.tuples(st.just("wait"), st.sampled_from([1, 10, 40]))
steps = st.lists(st.one_of(owe, owe, deliver, deliver, die, trouble, wait), min_size=3, max_size=14)

_runs = itertools.count()


class Play:
    """One run: what happens to three messages, and what they ought to say at its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.run = next(_runs)
        self.newest: dict[str, str] = {}
        self._words = itertools.count()
        world.workspace.scopes |= {"im:history", "channels:history"}
        self.place = world.workspace.add_channel(f"billing-{self.run}", [world.workspace.bot_user_id]).id
        self.people = [f"U{self.run}X{number}" for number in range(2)]
        for person in self.people:
            world.workspace.add_person(person, person.lower())

    async def owe(self, which: int) -> None:
        key, words = f"run {self.run} message {which}", f"words {next(self._words)}"
        self.newest[key] = words
        if which < len(self.people):
            await self.world.owe(key, words, Channel(self.world.workspace.dm(self.people[which])))
        else:
            await self.world.owe(key, words, Channel(self.place))

    async def deliver(self) -> None:
        try:
            await self.world.outbox.deliver()
        except Killed:
            faultpoint.arm(lambda name: None)
            await self.world.restart()

    async def die(self, point: str) -> None:
        def once(name: str) -> None:
            if name == point:
                raise Killed(name)

        faultpoint.arm(once)

    async def trouble(self, call: str, kind: Kind) -> None:
        self.world.workspace.faults.arm(call, kind, code=503, retry_after=3)

    async def wait(self, seconds: int) -> None:
        self.world.clock.wind(seconds)

    async def end(self) -> None:
        """No more trouble: whatever waits arrives."""
        faultpoint.arm(lambda name: None)
        self.world.workspace.faults.disarm()
        await self.world.restart()
        await self.world.deliver_all()

    def shown(self) -> dict[str, list[str]]:
        """By key, what its messages say."""
        workspace = self.world.workspace
        shown: dict[str, list[str]] = {}
        for place in (self.place, *map(workspace.dm, self.people)):
            for message in workspace.messages(place):
                assert message.metadata is not None
                shown.setdefault(message.metadata["event_payload"]["key"], []).append(message.text)
        return shown


@given(script=steps)
@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_every_order_ends_with_one_message_of_each_with_its_newest_content(world: World, script: list) -> None:
    play = Play(world)
    for step, *arguments in script:
        await getattr(play, step)(*arguments)
    await play.end()

    assert play.shown() == {key: [words] for key, words in play.newest.items()}
    assert await world.dead() == []


@pytest.mark.parametrize("kind", TROUBLES)
async def test_the_checker_sees_a_message_that_appears_twice(world: World, kind: Kind) -> None:
    """Without the history scope a lost answer doubles a message, and only that does."""
    play = Play(world)
    world.workspace.scopes -= {"im:history", "channels:history"}
    await play.trouble("chat.postMessage", kind)
    await play.owe(0)
    await play.deliver()
    await play.end()

    doubled = [len(texts) for texts in play.shown().values()] == [2]
    assert doubled == (kind is Kind.CUT_AFTER)
