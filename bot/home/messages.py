"""What people take away from App Home into their messages: a statement as a file, or the chart of what was used."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from slack_sdk.models.blocks import SectionBlock

from bot.accounts.model import Person, Workspace
from bot.home.service import Homes
from bot.home.statements import File
from bot.mail import store as mail_store
from bot.mail.model import Attachment, Mail
from bot.outbox import store as outbox
from bot.outbox.model import Message, User
from bot.slack import charts, mrkdwn
from bot.slack.client import SlackRefused
from bot.text import Texts

logger = logging.getLogger(__name__)


class Files(Protocol):
    """What is asked of Slack. Raises its errors."""

    async def open_dm(self, user_id: str) -> str: ...

    async def send_file(self, channel: str, name: str, content: bytes, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Messages:
    """``mail`` is whether mail can be sent; ``nudge`` says that something is owed."""

    homes: Homes
    slack: Files
    mail: bool
    nudge: Callable[[], None]

    async def send(self, file: File, workspace: Workspace, user_id: str, press: str) -> str:
        """Put the file into somebody's messages, or send it by mail where Slack does not let us. What became of it."""
        texts = self.homes.texts_of(user_id)
        about = texts("history.file_about", account=mrkdwn.escape(file.account.name), month=str(file.month))
        if not file.whole:
            about = f"{about} {texts('history.file_short', command=file.command)}"
        try:
            channel = await self.slack.open_dm(user_id)
            await self.slack.send_file(channel, file.name, file.content.encode(), about)
        except SlackRefused as refused:
            logger.info("a file could not be sent: %s", refused)
            return await self._send_otherwise(texts, file, workspace, user_id, press)
        return texts("history.sent")

    async def _send_otherwise(self, texts: Texts, file: File, workspace: Workspace, user_id: str, press: str) -> str:
        person = await self.homes.purchases.person(workspace, user_id)
        if not self.mail or person is None or person.email is None:
            return texts("history.no_files", command=file.command)
        await self._mail(texts, file, person, person.email, press)
        return texts("history.mailed", address=mrkdwn.escape(person.email))

    async def _mail(self, texts: Texts, file: File, person: Person, address: str, press: str) -> None:
        about = texts("history.file_about", account=file.account.name, month=str(file.month))
        letter = Mail(
            key=f"statement:{person.id}:{press}",
            to=address,
            subject=f"{texts('history.title')} {file.name.removesuffix('.csv')}",
            body=about,
            attachments=[Attachment(file.name, file.content, "csv")],
        )
        await self.homes.database.write(partial(mail_store.owe_mail, mail=letter, at=self.homes.clock.now()))
        self.nudge()

    async def chart(self, workspace: Workspace, user_id: str, press: str) -> None:
        """What was used lately, by day and model, once for each ``press``."""
        spent = await self.homes.spend(workspace, user_id)
        texts = self.homes.texts_of(user_id)
        used = charts.total(charts.sums(spent.values()).values())
        said = texts("home.spent", n=len(spent), used=used)
        blocks = [SectionBlock(text=said), *(charts.by_day(texts, spent) if used.nano else ())]
        message = Message(f"spend:{user_id}:{press}", User(user_id), said, [block.to_dict() for block in blocks])
        await self.homes.database.write(partial(outbox.owe, message=message, at=self.homes.clock.now()))
        self.nudge()
