"""Mail servers of all kinds, and a mailer between them and a database."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.db.engine import Database
from bot.mail import store
from bot.mail.model import Fate, Mail
from bot.mail.service import Mailer
from bot.mail.smtp import Smtp
from bot.sandbox.clock import WindableClock
from bot.sandbox.faults import Faults
from bot.sandbox.mail import MailBox
from bot.settings import read_smtp_url

CERTIFICATE = Path(__file__).with_name("loopback.pem")  # made for localhost, good for a hundred years, secret to nobody
SUPPORT = "support@skydeck.ai"


@dataclass
class Post:
    """A mail server and a bot's mailer. ``fates`` is what the mailer said became of each mail."""

    box: MailBox
    faults: Faults
    clock: WindableClock
    database: Database
    url: str
    fates: list[tuple[str, Fate]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mailer = self.another_mailer()

    def another_mailer(self) -> Mailer:
        smtp = Smtp(read_smtp_url(self.url, SUPPORT))
        return Mailer(self.database, smtp, self.clock, self._told, jitter=lambda: 0.0)

    async def _told(self, tx: AsyncConnection, key: str, fate: Fate) -> None:
        self.fates.append((key, fate))

    async def owe(self, key: str = "case:1", to: str = SUPPORT, **facts: Any) -> bool:
        mail = Mail(key, to, **{"subject": "About case 1", "body": "Hello", **facts})
        return await self.database.write(partial(store.owe_mail, mail=mail, at=self.clock.now()))

    async def work_for(self, **units: float) -> int:
        """Let time go by, and let the mailer do what is due then. How many mails it tried."""
        self.clock.wind(**units)
        return await self.mailer.work()

    async def trouble(self) -> str | None:
        """What the last attempt met."""
        async with self.database.read() as tx:
            return (await store.waiting(tx)).trouble


OpenPost = Callable[..., Any]
PLAIN = "smtp://127.0.0.1:{port}?timeout=20"


@pytest.fixture
async def open_post(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenPost]:
    """Opens a server with the options of ``MailBox``; ``given`` is what SMTP_URL says besides, ``{port}`` its port."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    async with AsyncExitStack() as stack:

        async def open_post(
            given: str = "smtp://127.0.0.1:{port}?timeout=20", *, tls: bool = False, **how: Any
        ) -> Post:
            clock, faults = WindableClock(), Faults()
            box = MailBox(clock, faults=faults, tls=certificate() if tls else None, **how)
            await box.start()
            stack.push_async_callback(box.stop)
            return Post(box, faults, clock, database, given.format(port=box.port))

        yield open_post


def certificate() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    return context
