"""Taking what people typed out of everything that keeps it here. What support has in its mail box is not ours."""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from bot.mail import store as mails
from bot.outbox import store as outbox
from bot.support import store
from bot.support.model import mail_key


class StillOnItsWay(Exception):
    """A mail of the case, or the news of it, has not arrived yet."""


async def erase(tx: AsyncConnection, number: str, now: datetime) -> None:
    """Close the case, and forget what was written, from which address, and every mail and message that repeats it.

    That there was a case, about what, and who wrote to it stays. Raise ``StillOnItsWay``.
    """
    for each in (mails, outbox):
        if not await each.forget(tx, mail_key(number)):
            raise StillOnItsWay(number)
    await store.erase_words(tx, number)
    await store.keep_open(tx, number, now)
