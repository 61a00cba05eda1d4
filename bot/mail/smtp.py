"""Hands a mail to the SMTP server of the settings: one connection for each, TLS where there is any, a bounded time.

The server's answer decides: taken, refused for good, or anything else, which is an ``Outage``. When the answer to the
mail's content was lost nobody knows which it was. It is then sent again under the same Message-ID.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage

import aiosmtplib
from aiosmtplib import SMTP

from bot.errors import Outage
from bot.mail.model import SENDING_SECONDS, MailRefused
from bot.settings import MailServer, StartTls

_UPGRADES = {StartTls.OFFERED: None, StartTls.REQUIRED: True, StartTls.NEVER: False}


class Smtp:
    """Raises ``Outage`` whenever a later attempt may do better."""

    def __init__(self, server: MailServer) -> None:
        self._server = server
        self.sender = server.sender

    async def send(self, message: EmailMessage) -> None:
        """Return once the server has accepted the mail. Raise ``MailRefused`` or ``Outage``."""
        accepted = False
        try:
            async with self._connected() as client:
                await _hand_over(client, message)
                accepted = True
        except Outage:
            if not accepted:  # what goes wrong while taking leave changes nothing
                raise

    async def probe(self) -> str:
        """Connect and log in, and send nothing. How the connection is kept from others' eyes. Raise ``Outage``."""
        async with self._connected() as client:
            return "TLS" if _encrypted(client) else "no TLS"

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[SMTP]:
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.tls,
            start_tls=False if server.tls else _UPGRADES[server.starttls],
            timeout=server.patience,
        )
        try:
            async with asyncio.timeout(SENDING_SECONDS), client:
                await self._log_in(client)
                yield client
        except (aiosmtplib.SMTPException, ssl.SSLError, OSError, TimeoutError) as error:
            raise Outage("mail", _reason(error)) from None  # its cause may quote the mail or the password

    async def _log_in(self, client: SMTP) -> None:
        if not self._server.user:
            return
        if not _encrypted(client) and not self._server.is_near:
            raise Outage("mail", "the server offers no TLS, and the password is not sent where others can read it")
        await client.login(self._server.user, self._server.password)


async def _hand_over(client: SMTP, message: EmailMessage) -> None:
    try:
        await client.send_message(message)
    except aiosmtplib.SMTPRecipientsRefused as refused:
        raise _verdict(refused.recipients[0]) from None
    except (aiosmtplib.SMTPSenderRefused, aiosmtplib.SMTPDataError) as refused:
        raise _verdict(refused) from None
    except ValueError:  # says what it was, which may be somebody's words
        raise MailRefused("it cannot be written as SMTP wants it") from None


def _encrypted(client: SMTP) -> bool:
    return client.get_transport_info("sslcontext") is not None


def _verdict(error: aiosmtplib.SMTPResponseException) -> Exception:
    """A code of 500 or more is for good; one of 400 or more is about this moment."""
    said = f"{error.code} {' '.join(error.message.split())}"[:300]
    return MailRefused(said) if error.code >= 500 else Outage("mail", said)


def _reason(error: Exception) -> str:
    match error:
        case aiosmtplib.SMTPAuthenticationError(code=code):
            return f"the login was refused ({code})"
        case aiosmtplib.SMTPResponseException(code=code, message=said):
            return f"{code} {' '.join(said.split())}"[:300]
        case ssl.SSLError():
            return f"TLS failed ({error.reason or type(error).__name__})"
        case aiosmtplib.SMTPConnectTimeoutError() | aiosmtplib.SMTPReadTimeoutError() | TimeoutError():
            return "no answer in time"
        case aiosmtplib.SMTPConnectError():
            return _of_connecting(error)
        case aiosmtplib.SMTPServerDisconnected():
            return "the connection was lost"
        case aiosmtplib.SMTPException(message=said):
            return said[:300]
    return f"no connection ({type(error).__name__})"


def _of_connecting(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or type(cause).__name__})"
    return f"no connection ({type(cause or error).__name__})"
