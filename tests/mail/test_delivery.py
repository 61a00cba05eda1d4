"""Mail that is owed, against a real SMTP server with every kind of trouble: it arrives once, or somebody is told."""

import asyncio
from datetime import timedelta
from functools import partial

import pytest

from bot.mail import store
from bot.mail.model import Attachment, Fate, message_id
from bot.sandbox.faults import Kind

from .conftest import SUPPORT, OpenPost

LOGIN = ("bot@acme.example", "p@ss: wörd")
SECURE = "smtp://bot%40acme.example:p%40ss%3A%20w%C3%B6rd@localhost:{port}?timeout=20"


async def test_a_mail_arrives_as_it_was_written(open_post: OpenPost) -> None:
    post = await open_post()
    words = "Kære support,\n\n.en linje med punktum\nFrom now on: 日本語 " + "x" * 2000
    table = Attachment("november.csv", "day;credits\n1;2,5\n", "csv")
    await post.owe(subject="Sag 1: købet", body=words, reply_to="anna@acme.example", attachments=[table])

    assert await post.mailer.work() == 1

    [mail] = post.box.mails
    assert (mail.sender, mail.to) == (SUPPORT, (SUPPORT,))
    assert (mail.subject, mail.reply_to, mail.id) == ("Sag 1: købet", "anna@acme.example", message_id("case:1"))
    assert mail.body.rstrip("\n") == words
    assert mail.message["From"] == f"Credits bot <{SUPPORT}>"
    assert mail.message.get_body(("plain",)).get_content_charset() == "utf-8"
    assert mail.attachments == [("november.csv", table.content)]
    assert timedelta(0) <= post.clock.now() - mail.message["Date"].datetime < timedelta(minutes=1)
    assert post.fates == [("case:1", Fate.ACCEPTED)]
    assert await post.work_for(days=2) == 0


async def test_the_same_key_is_the_same_mail(open_post: OpenPost) -> None:
    post = await open_post()
    assert await post.owe()
    assert not await post.owe(body="Something else")
    await post.owe("case:1:2", follows="case:1")

    await post.mailer.work()

    first, second = sorted(post.box.mails, key=lambda mail: mail.follows)
    assert (first.body.strip(), first.follows) == ("Hello", "")
    assert second.follows == second.message["References"] == first.id


async def test_a_server_that_is_away_is_tried_again(open_post: OpenPost) -> None:
    post = await open_post()
    await post.box.pause()
    await post.owe()
    assert await post.mailer.work() == 1
    assert await post.trouble() == "no connection (ConnectionRefusedError)"
    assert await post.work_for(seconds=9) == 0
    assert await post.work_for(seconds=2) == 1
    await post.box.start()

    assert await post.work_for(seconds=20) == 1

    assert len(post.box.mails) == 1
    assert post.fates == [("case:1", Fate.ACCEPTED)]


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


async def test_what_was_taken_and_not_confirmed_comes_again_under_the_same_id(open_post: OpenPost) -> None:
    post = await open_post()
    post.faults.arm("smtp.DATA", Kind.CUT_AFTER)
    await post.owe()

    await post.mailer.work()
    assert (len(post.box.mails), post.fates) == (1, [])
    await post.work_for(seconds=10)

    first, second = post.box.mails
    assert (first.id, bytes(first.message)) == (second.id, bytes(second.message)), "one mail, for whoever gets it"
    assert post.fates == [("case:1", Fate.ACCEPTED)]


async def test_after_a_day_it_is_given_up_and_told_once(open_post: OpenPost) -> None:
    post = await open_post()
    await post.box.pause()
    await post.owe()
    tries = 0
    for _ in range(24 * 4 + 10):
        tries += await post.work_for(minutes=15)

    assert 90 < tries < 110
    assert post.fates == [("case:1", Fate.GIVEN_UP)]
    assert await post.work_for(days=1) == 0


async def test_two_mailers_send_it_once(open_post: OpenPost) -> None:
    post = await open_post()
    for n in range(6):
        await post.owe(f"case:{n}")

    while await asyncio.gather(*(mailer.work() for mailer in (post.mailer, post.another_mailer()))) != [0, 0]:
        pass

    assert len(post.box.mails) == len(post.fates) == 6


async def test_a_mailer_whose_clock_is_behind_leaves_alone_what_another_one_has_in_hand(open_post: OpenPost) -> None:
    post = await open_post()
    await post.owe()
    now = post.clock.now()
    claims = [
        await post.database.write(partial(store.claim, now=at, limit=5))
        for at in (now, now - timedelta(microseconds=1), now - timedelta(seconds=60))
    ]
    assert [len(claimed) for claimed in claims] == [1, 0, 0]


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
