"""A mail server on loopback that keeps what it accepts: real SMTP, with TLS and a login where they are asked for."""

import asyncio
import email
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bot.clock import Clock
from bot.sandbox.faults import Fault, Faults, Kind

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Received:
    """A mail that was accepted. ``secure``: it came over TLS; ``login`` is who had logged in."""

    at: datetime
    sender: str
    to: tuple[str, ...]
    message: EmailMessage
    secure: bool
    login: str

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def id(self) -> str:
        return str(self.message["Message-ID"])

    @property
    def reply_to(self) -> str:
        return str(self.message["Reply-To"] or "")

    @property
    def follows(self) -> str:
        """The id of the mail that this one continues; empty where it begins a conversation."""
        return str(self.message["In-Reply-To"] or "")

    @property
    def body(self) -> str:
        part = self.message.get_body(("plain",))
        return _text(part) if part else ""

    @property
    def attachments(self) -> Sequence[tuple[str, str]]:
        """Name and content of each file."""
        return [(part.get_filename() or "", _text(part)) for part in self.message.iter_attachments()]


class MailBox:
    """Listens on ``port`` from ``start`` to ``stop``. From ``pause`` to the next ``start`` everybody is refused there.

    ``mails`` is everything that was accepted, in order, with what came twice twice; each of ``watchers`` is told of
    each. With ``login`` nobody delivers without that name and password, and without TLS nobody logs in. Faults are
    armed by command: ``smtp.EHLO``, ``smtp.MAIL``, ``smtp.RCPT``, ``smtp.DATA``.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        faults: Faults | None = None,
        tls: ssl.SSLContext | None = None,
        at_once: bool = False,
        login: tuple[str, str] | None = None,
    ) -> None:
        """``tls`` is offered as STARTTLS, or spoken ``at_once``."""
        self.mails: list[Received] = []
        self.watchers: list[Callable[[Received], None]] = []
        self.port = 0
        self._place: socket.socket | None = None
        self._clock = clock
        self._faults = faults or Faults()
        self._tls, self._at_once, self._login = tls, at_once, login
        self._server: asyncio.Server | None = None
        self._connections: set[SMTP] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        tls = self._tls if self._at_once else None
        place, self._place = self._place or _place(0), None
        self.port = place.getsockname()[1]
        self._server = await loop.create_server(self._connection, sock=place, ssl=tls)

    async def stop(self) -> None:
        if self._place:
            self._place.close()
        if self._server:
            self._server.close()
        for connection in list(self._connections):
            cut(connection)

    async def pause(self) -> None:
        await self.stop()
        self._place = _place(self.port)

    @property
    def url(self) -> str:
        """What SMTP_URL is set to, for whoever needs no login."""
        return f"smtp://{HOST}:{self.port}"

    def _connection(self) -> SMTP:
        protocol = SMTP(
            self,
            hostname="mail.sandbox",
            tls_context=None if self._at_once else self._tls,
            auth_required=self._login is not None and not self._at_once,  # it does not see the TLS of the whole
            auth_require_tls=not self._at_once,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )
        self._connections.add(protocol)
        return protocol

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        known = self._login and tuple(word.encode() for word in self._login)
        right = isinstance(given, LoginPassword) and (given.login, given.password) == known
        return AuthResult(success=right, handled=False, auth_data=self._login and self._login[0])

    # --- what aiosmtpd calls, by their names

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        trouble = await self._trouble(server, "EHLO")
        return [trouble] if trouble else responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return await self._trouble(server, "MAIL") or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if trouble := await self._trouble(server, "RCPT"):
            return trouble
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = self._faults.take("smtp.DATA")
        if fault and fault.kind is not Kind.CUT_AFTER and (trouble := await self._strike(server, fault)):
            return trouble
        self._keep(session, envelope)
        if fault and fault.kind is Kind.CUT_AFTER:
            cut(server)
        return "250 OK: kept"

    async def handle_exception(self, error: Exception) -> str:
        return f"451 {type(error).__name__}"

    # --- what comes of it

    def _keep(self, session: Session, envelope: Envelope) -> None:
        content: Any = envelope.original_content
        message = email.message_from_bytes(content, policy=POLICY)
        login = str(session.auth_data) if session.authenticated else ""
        mail = Received(
            at=self._clock.now(),
            sender=envelope.mail_from or "",
            to=tuple(envelope.rcpt_tos),
            message=message,
            secure=self._at_once or session.ssl is not None,
            login=login,
        )
        self.mails.append(mail)
        for watcher in self.watchers:
            watcher(mail)

    async def _trouble(self, server: SMTP, command: str) -> str:
        """The answer that an armed fault gives instead; empty where all is well."""
        fault = self._faults.take(f"smtp.{command}")
        return await self._strike(server, fault) if fault else ""

    async def _strike(self, server: SMTP, fault: Fault) -> str:
        match fault.kind:
            case Kind.HANG:
                await self._faults.sleep(fault.seconds)
                return ""
            case Kind.STATUS:
                return f"{fault.code} {fault.body or 'as the sandbox was told to'}"
        cut(server)
        return "421 cut"


def _text(part: Any) -> str:
    """With the line ends that people know; on the way every line ends in two signs."""
    return str(part.get_content()).replace("\r\n", "\n")


def cut(connection: SMTP) -> None:
    """Drop the connection without a word."""
    if connection.transport is not None:
        transport: Any = connection.transport
        transport.abort()


def _place(port: int) -> socket.socket:
    """A socket at this port, or at any for 0, that does not listen: who connects to it is refused."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind((HOST, port))
    return place
