"""A mail as it is put together: nothing that a person typed can become a header, a second mail or a broken one."""

import email
from datetime import UTC, datetime
from email.policy import SMTP

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.mail.model import Attachment, Mail, UnusableAddress, address, checked, letter

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References"]
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=200)  # lone surrogates and controls included


@given(ANYTHING, ANYTHING, ANYTHING)
def test_whatever_is_typed_stays_where_it_was_put(subject: str, body: str, name: str) -> None:
    mail = checked(Mail("k", "a@b.example", subject, body, "c@d.example", "j", [Attachment(name or "x", body)]))
    sent = letter(mail, "bot@acme.example", NOON).as_bytes(policy=SMTP)
    read = email.message_from_bytes(sent, policy=SMTP)

    assert [header for header in read.keys() if not header.startswith(("MIME", "Content"))] == HEADERS  # noqa: SIM118
    assert str(read["Subject"]) == mail.subject
    text, file = read.iter_parts()
    assert text.get_content().replace("\r\n", "\n").rstrip("\n") == mail.body.rstrip("\n")
    assert file.get_content().replace("\r\n", "\n").rstrip("\n") == mail.body.rstrip("\n")


@pytest.mark.parametrize("good", ["anna@acme.example", "o'neil+a_b@x.co", "  anna@acme.example  "])
def test_a_plain_address_is_taken(good: str) -> None:
    assert address(good) == good.strip()


@pytest.mark.parametrize(
    "bad",
    [
        "anna@acme.example\r\nBcc: everybody@acme.example",
        "anna@acme.example\nBcc: x@acme.example",
        "Anna <anna@acme.example>",
        "anna@acme.example, bo@acme.example",
        "anna@acme.example bo@acme.example",
        "<anna@acme.example>",
        '"anna\r\n"@acme.example',
        "anna@acme.example\u2028Bcc: x@y.example",
        "anna@@acme.example",
        "a..b@acme.example",
        ".a@acme.example",
        "anna@acme.example.",
        "@acme.example",
        "anna@",
        "änna@acme.example",
        "a" * 250 + "@acme.example",
        "",
    ],
)
def test_nothing_but_one_plain_address_is_written_to(bad: str) -> None:
    with pytest.raises(UnusableAddress):
        checked(Mail("k", bad, "s", "b"))
    with pytest.raises(UnusableAddress):
        checked(Mail("k", "a@b.example", "s", "b", reply_to=bad))


def test_the_same_mail_is_the_same_to_the_last_byte() -> None:
    """Without attachments, whose boundaries are drawn by lot."""
    mail = checked(Mail("k", "a@b.example", "s", "æøå", "c@d.example", "j"))
    assert letter(mail, "b@c.example", NOON).as_bytes() == letter(mail, "b@c.example", NOON).as_bytes()
