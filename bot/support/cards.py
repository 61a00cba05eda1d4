"""The living message of what somebody wrote to support, owed through the outbox."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from slack_sdk.models.blocks import Block
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.clock import Clock
from bot.outbox import store as outbox
from bot.outbox.model import Message, User
from bot.support.model import State, mail_key
from bot.support.service import Told
from bot.support.views import lost, note
from bot.text import Texts, texts_for


@dataclass(frozen=True, slots=True)
class Cards:
    """Writes it anew whenever an entry goes on; bad news is posted, because nobody is told of an edit."""

    clock: Clock
    texts_of: Callable[[str], Texts]
    support_email: str

    async def __call__(self, tx: AsyncConnection, told: Told) -> None:
        case, entry = told.case, told.entry
        for person in told.people:
            key = f"{mail_key(case.number, entry.n)}:{person}"
            texts = texts_for(entry.locale) if person == entry.user_id else self.texts_of(person)
            text, blocks = note(texts, case, entry, told.purchase, self.support_email, told.link)
            if entry.state is State.GIVEN_UP:
                await self._owe(tx, key, person, *lost(texts, case, self.support_email))
                key = f"{key}:lost"
            await self._owe(tx, key, person, text, blocks)

    async def _owe(self, tx: AsyncConnection, key: str, person: str, text: str, blocks: Sequence[Block]) -> None:
        message = Message(key, User(person), text, [block.to_dict() for block in blocks])
        await outbox.owe(tx, message, self.clock.now())
