"""The bot is killed between a case, its mail and the news of it: one case, one mail for its reader, one message."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bot.sandbox.world import OWNER
from bot.slack import names

from .lives import KILLED, Nursery, Setting, Stand, everywhere

WHEN_A_CASE_IS_WRITTEN = ("S0", "M0", "M1")


async def test_a_case_reaches_support_once_wherever_the_bot_is_killed(nursery: Nursery, tmp_path: Path) -> None:
    await everywhere(tmp_path, {each: partial(_write, nursery, [each]) for each in WHEN_A_CASE_IS_WRITTEN})


async def _write(nursery: Nursery, moments: Sequence[str], folder: Path) -> None:
    async with Stand.open(nursery, folder, Setting(card=None)) as stand:
        stand.live(moments)
        channel = stand.slack.channel_named("general").id
        typed = partial(stand.slack.command, OWNER, channel, f"{names.BUY_COMMAND} support")
        form = await stand.insist(typed, lambda: stand.slack.modal(OWNER), "the form")
        stand.slack.fill(form, names.SUPPORT_WORDS, "Hello")
        await stand.submit()
        said = str(stand.slack.modal(OWNER).blocks)
        await stand.until(lambda: any("has reached" in text for text in stand.texts()), "the news of it")
        await stand.rested()
        assert stand.ends == [KILLED]
        assert await stand.stop() == 0

        sent = stand.world.mail.mails
        assert len(sent) == (2 if moments == ["M1"] else 1)
        assert len({mail.id for mail in sent}) == len({bytes(mail.message) for mail in sent}) == 1
        [told] = stand.texts()
        [number] = {word for word in told.split("*") if word.startswith("SKY-")}
        assert number in said
        assert sent[0].subject.startswith(f"[{number}]")
