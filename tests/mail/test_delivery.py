"""Mail that is owed, against a real SMTP server: it arrives once, or somebody is told."""

import asyncio
from datetime import timedelta
from functools import partial

from bot.mail import store
from bot.mail.model import Attachment, Fate, message_id
from bot.sandbox.faults import Kind

from .conftest import SUPPORT, OpenPost


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
