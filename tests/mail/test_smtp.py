"""What mail servers do, and what is told them: they are busy, silent, refuse, or would have a password in the clear.

That has nothing to do with the database.
"""

import asyncio

import pytest

from bot.mail.model import Fate, message_id
from bot.sandbox.faults import Kind

from .conftest import OpenPost

LOGIN = ("bot@acme.example", "p@ss: wörd")
SECURE = "smtp://bot%40acme.example:p%40ss%3A%20w%C3%B6rd@localhost:{port}?timeout=20"


@pytest.fixture
def database_url(small_url: str) -> str:
    return small_url


async def test_a_server_that_is_busy_is_tried_again(open_post: OpenPost) -> None:
    post = await open_post()
    await post.owe()
    for command in ("EHLO", "MAIL", "RCPT", "DATA"):
        post.faults.arm(f"smtp.{command}", Kind.STATUS, code=421, body="4.3.2 too much to do")
        assert await post.work_for(minutes=3) == 1, command
        assert (post.box.mails, post.fates) == ([], [])
        assert "421 4.3.2 too much to do" in str(await post.trouble()) or command == "EHLO"

    await post.work_for(minutes=3)
    assert len(post.box.mails) == 1


async def test_a_mail_that_is_refused_for_good_is_given_up_at_once(open_post: OpenPost) -> None:
    post = await open_post()
    for command in ("MAIL", "RCPT", "DATA"):
        post.faults.arm(f"smtp.{command}", Kind.STATUS, code=550, body="5.1.1 nobody here")
        await post.owe(command)
        await post.mailer.work()

    assert post.fates == [(command, Fate.GIVEN_UP) for command in ("MAIL", "RCPT", "DATA")]
    assert await post.work_for(days=2) == 0
    assert post.box.mails == []


@pytest.mark.parametrize("command", ["EHLO", "DATA"])
async def test_a_server_that_is_silent_holds_nothing_up_for_long(open_post: OpenPost, command: str) -> None:
    post = await open_post("smtp://127.0.0.1:{port}?timeout=2")
    hangs, goes_on = asyncio.Event(), asyncio.Event()

    async def hang(seconds: float) -> None:
        hangs.set()
        await goes_on.wait()

    post.faults.sleep = hang
    post.faults.arm(f"smtp.{command}", Kind.HANG)
    await post.owe()

    assert await post.mailer.work() == 1
    assert hangs.is_set()
    assert await post.trouble() == "no answer in time"
    goes_on.set()
    await post.work_for(seconds=10)

    assert {mail.id for mail in post.box.mails} == {message_id("case:1")}
    assert post.fates == [("case:1", Fate.ACCEPTED)]


async def test_a_password_goes_over_tls(open_post: OpenPost) -> None:
    post = await open_post(SECURE, tls=True, login=LOGIN)
    await post.owe()
    await post.mailer.work()

    [mail] = post.box.mails
    assert (mail.secure, mail.login, mail.sender) == (True, LOGIN[0], LOGIN[0])


async def test_a_password_is_not_sent_where_others_could_read_it(open_post: OpenPost) -> None:
    post = await open_post("smtp://bot:geheim@127.1:{port}?timeout=20")  # not one of the names of this machine
    await post.owe()
    await post.mailer.work()

    assert post.box.mails == []
    assert await post.trouble() == "the server offers no TLS, and the password is not sent where others can read it"


async def test_a_connection_may_be_tls_from_its_first_byte(open_post: OpenPost) -> None:
    given = SECURE.replace("smtp://", "smtps://")
    post = await open_post(given, tls=True, at_once=True, login=LOGIN)
    await post.owe()
    await post.mailer.work()

    [mail] = post.box.mails
    assert (mail.secure, mail.login) == (True, LOGIN[0])


async def test_where_tls_is_required_nothing_goes_without(open_post: OpenPost) -> None:
    post = await open_post("smtp://127.0.0.1:{port}?timeout=20&starttls=required")
    await post.owe()
    await post.mailer.work()

    assert post.box.mails == []
    assert "STARTTLS" in str(await post.trouble()).upper()


async def test_a_certificate_of_somebody_else_is_not_believed(
    open_post: OpenPost, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await open_post(SECURE, tls=True, login=LOGIN)
    monkeypatch.delenv("SSL_CERT_FILE")
    await post.owe()
    await post.mailer.work()

    assert post.box.mails == []
    assert "CERTIFICATE_VERIFY_FAILED" in str(await post.trouble())


async def test_a_wrong_password_is_mended_by_somebody_and_tried_again(open_post: OpenPost) -> None:
    post = await open_post(SECURE, tls=True, login=(LOGIN[0], "another"))
    await post.owe()
    await post.mailer.work()

    assert (post.box.mails, post.fates) == ([], [])
    assert await post.trouble() == "the login was refused (535)"
