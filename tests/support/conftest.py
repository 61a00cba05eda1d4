"""What stories of support have in common: the form, the case's number, and the mails that have arrived."""

import re
from typing import Any

from bot.sandbox.mail import Received
from bot.sandbox.slack import Message, OpenView
from bot.sandbox.world import OWNER
from bot.slack import names

from ..stage import Stage, buttons, says

NUMBER = re.compile(r"SKY-[2-9A-HJKMNP-TV-Z]{5}")
BUTTONS = ("Contact support", "Kontakt support")


async def support_form(stage: Stage, user: str = OWNER) -> OpenView:
    """The form in front of somebody."""
    form: OpenView = await stage.until(
        lambda: (shown := stage.slack.modal(user)) and shown.view["callback_id"] == names.SUPPORT_FORM and shown
    )
    return form


async def typed(stage: Stage, user: str = OWNER) -> OpenView:
    """The form, after ``/buy-credits support``."""
    stage.slack.views.clear(user)
    ack = await stage.slack.command(user, stage.slack.channel_named("general").id, "/buy-credits support")
    assert ack.ok, ack.error
    return await support_form(stage, user)


async def press_support(stage: Stage, shown: Message | OpenView, user: str = OWNER) -> OpenView:
    """The form, after the button on whatever is shown."""
    [button] = [each for words, each in buttons(shown).items() if words in BUTTONS]
    ack = await stage.slack.press(user, shown, names.CONTACT_SUPPORT, value=button["value"])
    assert ack.ok, ack.error
    return await support_form(stage, user)


async def write(stage: Stage, words: str, user: str = OWNER, **fields: Any) -> str:
    """Fill the form in and send it; the number of the case."""
    ack = await stage.slack.submit(user, **{names.SUPPORT_WORDS: words}, **fields)
    assert ack.ok, ack.errors or ack.error
    return number_in(says(stage.slack.modal(user)))


def number_in(text: str) -> str:
    found = NUMBER.search(text)
    assert found, text
    return found[0]


async def mails(stage: Stage, count: int) -> list[Received]:
    """Everything that has arrived, once it is so much."""
    await stage.eventually(lambda: len(stage.world.mail.mails) >= count, within=30, step=5)
    assert len(stage.world.mail.mails) == count
    return stage.world.mail.mails


async def noted(stage: Stage, *words: str, user: str = OWNER) -> Message:
    """A message of the bot to somebody that says all these words."""
    message: Message = await stage.eventually(
        lambda: next((each for each in stage.letters(user) if all(word in each.text for word in words)), None),
        within=30,
        step=1.1,
    )
    return message


def option_of(form: OpenView, block_id: str) -> list[str]:
    """The words of the options in a block of a form."""
    [block] = [each for each in form.blocks if each["block_id"] == block_id]
    return [option["text"]["text"] for option in block["element"]["options"]]


def initial(form: OpenView) -> str:
    """What the field for the person's words begins with."""
    return str(form.blocks[0]["element"].get("initial_value", ""))
