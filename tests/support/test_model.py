"""The rules of cases: what is taken out of people's words, links that fit, numbers that are read out."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.support.model import (
    LONGEST_WORDS,
    TooManyCases,
    check_pace,
    entry_of,
    mail_key,
    masked,
    new_number,
    ready_mail,
)

from .conftest import NUMBER

CARDS = ["4242424242424242", "5555555555554444", "378282246310005", "6011111111111117", "2223003122003222"]
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=300)


@given(
    st.sampled_from(CARDS),
    st.lists(st.sampled_from(["", " ", "-", "\N{NO-BREAK SPACE}"]), min_size=20, max_size=20),
    st.text("abc ,.!\n", max_size=20),
    st.text("abc ,.!\n", max_size=20),
)
def test_no_card_number_gets_through_however_it_is_written(
    card: str, between: list[str], before: str, after: str
) -> None:
    written = "".join(digit + gap for digit, gap in zip(card, [*between[: len(card) - 1], ""], strict=True))
    kept = masked(f"{before} {written} {after}")
    assert "[card number]" in kept
    assert card[-4:] not in "".join(filter(str.isdecimal, kept))


@pytest.mark.parametrize(
    "secret", ["xoxb-1234567890-abcdef", "rk_live_0123456789abcdef", "whsec_0123456789abcdef", "sk_test_0123456789"]
)
def test_no_key_gets_through(secret: str) -> None:
    assert masked(f"I put {secret} into the file") == "I put [removed] into the file"


def test_everything_else_stays_as_it_was_typed() -> None:
    words = "Order 1234 5678 9012 3456,\n\tæøå 漢字 🙂 *not* <!channel> & 100 % on 2026-11-03"
    assert masked(f"  {words}\x00\x1b ") == words


@given(ANYTHING)
def test_whatever_is_typed_can_be_stored_and_sent(words: str) -> None:
    kept = masked(words)
    assert len(kept) <= LONGEST_WORDS
    assert "\x00" not in kept
    kept.encode()


@given(ANYTHING, st.text("漢aæ 🙂\n&=%<>|", max_size=400))
def test_a_ready_mail_fits_and_says_what_it_should(subject: str, body: str) -> None:
    subject, body = masked(subject)[:100], masked(body * 10)
    link = ready_mail("support@skydeck.ai", subject, body)
    parts = urlsplit(link)
    fields = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
    assert (parts.scheme, parts.path, fields["subject"]) == ("mailto", "support@skydeck.ai", [subject])
    assert body.startswith(fields["body"][0].replace("\r\n", "\n"))
    assert len(link) <= 1800
    assert not set(link) & set(" \n\r<>|\"'")


def test_a_number_can_be_read_out() -> None:
    numbers = {new_number() for _ in range(200)}
    assert all(NUMBER.fullmatch(number) for number in numbers)
    assert len(numbers) > 190


def test_a_mails_key_names_its_entry() -> None:
    assert entry_of(mail_key("SKY-7F3K2", 12)) == ("SKY-7F3K2", 12)
    assert entry_of("case:SKY-7F3K2:1:copy") is None
    assert entry_of("alert:1:2") is None


def test_a_person_opens_three_cases_and_writes_ten_times_an_hour() -> None:
    check_pace(2, 2, opens=True)
    check_pace(3, 9, opens=False)
    for cases, entries, opens in ((3, 3, True), (1, 10, False), (0, 10, True)):
        with pytest.raises(TooManyCases):
            check_pace(cases, entries, opens=opens)
