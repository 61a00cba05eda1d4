"""What a mail is, how it is put together, and how long it is tried. Rules only."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from enum import StrEnum
from typing import Final

LEASE: Final = timedelta(seconds=90)
"""How long a claimed mail belongs to whoever claimed it."""

SENDING_SECONDS: Final = 60.0
"""For the whole conversation with the server: well within the lease."""

TRIED_FOR: Final = timedelta(hours=24)
LONGEST_WAIT: Final = timedelta(minutes=15)

_FIRST_WAIT_SECONDS: Final = 10.0
_LONGEST_ADDRESS: Final = 254  # characters, as SMTP has it
_LONGEST_SUBJECT: Final = 200
_ADDRESS: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_HOME: Final = "credits.skydeck.ai"  # makes the ids of our mails unlike everybody else's


class UnusableAddress(ValueError):
    """No mail can be sent there."""


class MailRefused(Exception):
    """The server will never take this mail. Says what it said."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A text file that goes with a mail."""

    name: str
    content: str
    kind: str = "plain"  # of text: plain, csv


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail to one person. The same ``key`` is the same mail, for ever: it is sent under one Message-ID.

    ``follows`` is the key of the mail that this one continues, so that mail programs show them as one conversation.
    """

    key: str
    to: str
    subject: str
    body: str
    reply_to: str | None = None
    follows: str | None = None
    attachments: Sequence[Attachment] = ()


@dataclass(frozen=True, slots=True)
class Owed:
    """A mail that this process has claimed, until ``lease_until``."""

    mail: Mail
    created_at: datetime
    attempts: int
    lease_until: datetime

    @property
    def tried_until(self) -> datetime:
        return self.created_at + TRIED_FOR


class Fate(StrEnum):
    """What became of a mail, for good."""

    ACCEPTED = "accepted"  # by the server, which answers for it from then on
    GIVEN_UP = "given_up"


def checked(mail: Mail) -> Mail:
    """The mail, ready to be owed: what stands in headers cannot be more than it seems. Raise ``UnusableAddress``."""
    return Mail(
        key=mail.key,
        to=address(mail.to),
        subject=one_line(mail.subject)[:_LONGEST_SUBJECT],
        body=sendable(mail.body),
        reply_to=None if mail.reply_to is None else address(mail.reply_to),
        follows=mail.follows,
        attachments=[Attachment(one_line(each.name), sendable(each.content), each.kind) for each in mail.attachments],
    )


def address(text: str) -> str:
    """The plain address. Raise ``UnusableAddress`` for anything else, a name or a second one beside it included."""
    text = text.strip()
    local, _, domain = text.rpartition("@")
    dots = ".." in text or local.startswith(".") or local.endswith(".")
    if not _ADDRESS.fullmatch(text) or dots or len(text) > _LONGEST_ADDRESS or len(local) > 64 or not domain:
        raise UnusableAddress(f"not a mail address: {text[:50]!r}")
    return text


def one_line(text: str) -> str:
    """Text for a header: what breaks lines, or cannot be seen, becomes a space."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def sendable(text: str) -> str:
    """Text for a body: every line ends alike, and every character is one that can be written down and sent."""
    text = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return "".join(sign if sign.isprintable() or sign in "\n\t" or not sign.isascii() else " " for sign in text)


def message_id(key: str) -> str:
    """Of the mail with this key. However often it is sent, a server or a reader can tell that it is the same."""
    return f"<{hashlib.sha256(key.encode()).hexdigest()[:32]}@{_HOME}>"


def letter(mail: Mail, sender: str, at: datetime) -> EmailMessage:
    """The mail as it goes over the wire: plain text in UTF-8. ``at`` is when it was written."""
    message = EmailMessage()
    message["From"] = Address("Credits bot", addr_spec=sender)
    message["To"] = Address(addr_spec=mail.to)
    message["Subject"] = mail.subject
    message["Date"] = at
    message["Message-ID"] = message_id(mail.key)
    if mail.reply_to:
        message["Reply-To"] = Address(addr_spec=mail.reply_to)
    if mail.follows:
        message["In-Reply-To"] = message["References"] = message_id(mail.follows)
    message.set_content(mail.body, charset="utf-8", cte="quoted-printable")
    for each in mail.attachments:
        message.add_attachment(each.content, subtype=each.kind, charset="utf-8", cte="base64", filename=each.name)
    return message


def wait(attempts: int, jitter: float) -> timedelta:
    """How long to wait after so many failures: 10 s, doubling to 15 minutes. ``jitter``, 0 to 1, takes up to half."""
    seconds = min(_FIRST_WAIT_SECONDS * 2.0 ** min(attempts, 30), LONGEST_WAIT.total_seconds())
    return timedelta(seconds=seconds * (1 - jitter / 2))
