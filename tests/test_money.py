"""Money: what a typed amount means, that it is never guessed, and how amounts are written."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.money import GREATEST, LEAST, AmbiguousAmount, Credits, UnreadableAmount, Usd, parse_usd
from bot.text import Texts, languages, texts_for

ENGLISH = {"decimal": ".", "group": ","}
DANISH = {"decimal": ",", "group": "."}
FRENCH = {"decimal": ",", "group": "\u202f"}
SWISS = {"decimal": ".", "group": "’"}
CONVENTIONS = (ENGLISH, DANISH, FRENCH, SWISS)

amounts = st.integers(0, 10**11).map(Usd)
readers = st.sampled_from(languages()).map(texts_for)
rubbish = st.one_of(
    st.text(max_size=40),
    st.text("0123456789.,'’ \u00a0\u202f$USDusd-+e_٣५０．，", max_size=26),
)


@pytest.mark.parametrize(
    ("typed", "convention", "cents"),
    [
        ("250", ENGLISH, 250_00),
        ("12.5", ENGLISH, 12_50),
        ("12.50", ENGLISH, 12_50),
        ("1,234.50", ENGLISH, 1_234_50),
        ("1.234,50", DANISH, 1_234_50),
        ("1.234", DANISH, 1_234_00),
        ("12,5", DANISH, 12_50),
        ("1 234,50", FRENCH, 1_234_50),
        ("1\u202f234,50", FRENCH, 1_234_50),
        ("1\u00a0234,50", FRENCH, 1_234_50),
        ("1’234.50", SWISS, 1_234_50),
        ("1,234,567", ENGLISH, 1_234_567_00),
        # Of another convention, and still of one meaning only.
        ("12,50", ENGLISH, 12_50),
        ("12.50", DANISH, 12_50),
        ("1.234,50", ENGLISH, 1_234_50),
        ("1,234.50", DANISH, 1_234_50),
        ("1.234.567", ENGLISH, 1_234_567_00),
        ("1 234", ENGLISH, 1_234_00),
        # With what people put around it.
        ("  $250 ", ENGLISH, 250_00),
        ("250 USD", DANISH, 250_00),
        ("US$ 1,000", ENGLISH, 1_000_00),
        ("２５０", ENGLISH, 250_00),
        ("0.5", ENGLISH, 50),
        ("0", ENGLISH, 0),
        # Whole amounts with a dash for the cents.
        ("50,-", DANISH, 50_00),
        ("1.234,-", DANISH, 1_234_00),
        ("$ 50.–", SWISS, 50_00),
        ("50,-", ENGLISH, 50_00),
        ("1.234,-", ENGLISH, 1_234_00),
        ("50,-- USD", DANISH, 50_00),
    ],
)
def test_an_amount_is_read_as_the_reader_writes_it(typed: str, convention: dict[str, str], cents: int) -> None:
    assert parse_usd(typed, **convention) == Usd(cents)


@pytest.mark.parametrize(
    ("typed", "convention", "much", "little"),
    [
        ("1.234", ENGLISH, "1234.00", "1.23"),
        ("1.000", ENGLISH, "1000.00", "1.00"),
        ("250.000", ENGLISH, "250000.00", "250.00"),
        ("1,234", DANISH, "1234.00", "1.23"),
        ("100,000", DANISH, "100000.00", "100.00"),
        ("12.345", ENGLISH, "12345.00", "12.35"),
        ("12,344", DANISH, "12344.00", "12.34"),
        ("1.999", ENGLISH, "1999.00", "2.00"),
    ],
)
def test_an_amount_of_two_meanings_is_asked_about(
    typed: str, convention: dict[str, str], much: str, little: str
) -> None:
    with pytest.raises(AmbiguousAmount) as asked:
        parse_usd(typed, **convention)
    assert [str(reading) for reading in asked.value.readings] == [much, little]


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", ".", "$", "USD", "abc", "five", "1e5", "1E5", "0x10", "1_000", "-5", "−5", "+5", "5-", "--5", "(5)"),
        *(",-", "5,---", "5,-0"),
        *("1..5", "1,,5", "1.", ".5", ",5", "5.1234", "1.2345", "0.500", "1,23,456", "12,34.56", "1,2345", "00", "007"),
        *(
            "1.234.56",
            "1,234,56",
            "1 23",
            "1 2 3",
            "1 ,5",
            "٣",
            "५",
            "५००",
            "²",
            "½",
            "1/2",
            "10%",
            "€5",
            "5 EUR",
            "$$5",
        ),
        *("NaN", "inf", "Infinity", "1\n2", "1\t2", "\x001", "9" * 25, "1" + ",000" * 8, "$5$ USD", "5;", "5 5"),
    ],
)
@pytest.mark.parametrize("convention", [ENGLISH, DANISH], ids=["english", "danish"])
def test_what_is_no_amount_is_refused(typed: str, convention: dict[str, str]) -> None:
    with pytest.raises(UnreadableAmount):
        parse_usd(typed, **convention)


@given(amounts, readers)
def test_what_the_bot_writes_it_reads_again(amount: Usd, texts: Texts) -> None:
    assert texts.read_amount(texts.write_amount(amount)) == amount
    assert texts.read_amount(texts.show(amount)) == amount


@given(rubbish, st.sampled_from(CONVENTIONS))
@example("1.234.567,8.9", ENGLISH)
@example("1'50", ENGLISH)
@example("1 234 567", DANISH)
@example("1.234,-", ENGLISH)
def test_no_reading_is_ever_a_guess(typed: str, convention: dict[str, str]) -> None:
    """What is accepted is well formed in the reader's own convention, or means one amount in every other."""
    try:
        amount = parse_usd(typed, **convention)
    except (UnreadableAmount, AmbiguousAmount):
        return
    dollars = r"us\$|\$us|usd|\$"
    bare = _with_cents(re.sub(rf"^({dollars})|({dollars})$", "", _plain(typed), count=1, flags=re.IGNORECASE).strip())
    meanings = {
        (decimal, group): meaning
        for decimal, group in itertools.permutations([".", ",", "'", "’", " "], 2)
        if (meaning := _meaning(bare, decimal, group)) is not None
    }
    own = meanings.get((convention["decimal"], " " if convention["group"].isspace() else convention["group"]))
    assert amount.cents == own if own is not None else {amount.cents} == set(meanings.values())


@given(st.integers(1, 999), st.integers(0, 999), st.sampled_from(".,"), st.sampled_from(CONVENTIONS))
def test_three_digits_after_one_mark_are_thousands_only_where_the_reader_writes_them_so(
    whole: int, rest: int, mark: str, convention: dict[str, str]
) -> None:
    typed = f"{whole}{mark}{rest:03d}"
    if mark == convention["group"]:
        assert parse_usd(typed, **convention) == Usd.dollars(whole * 1000 + rest)
    else:
        with pytest.raises(AmbiguousAmount):
            parse_usd(typed, **convention)


@pytest.mark.parametrize("language", languages())
@given(st.text("0123456789", min_size=1, max_size=9))
def test_digits_alone_are_whole_dollars_in_every_language(language: str, digits: str) -> None:
    if digits.startswith("0") and digits != "0":
        with pytest.raises(UnreadableAmount):
            texts_for(language).read_amount(digits)
    else:
        assert texts_for(language).read_amount(digits) == Usd.dollars(int(digits))


def test_the_limits_are_those_of_the_product() -> None:
    assert (str(LEAST), str(GREATEST)) == ("1.00", "100000.00")


@pytest.mark.parametrize(
    ("nano", "shown", "exact"),
    [
        (0, "0.00", "0.00"),
        (1, "0.00", "0.000000001"),
        (-1, "0.00", "-0.000000001"),
        (9_999_999, "0.00", "0.009999999"),
        (10_000_000, "0.01", "0.01"),
        (12_345_678_901, "12.34", "12.345678901"),
        (-12_345_678_901, "-12.34", "-12.345678901"),
        (1_500_000_000, "1.50", "1.50"),
        (100_000 * 10**9, "100000.00", "100000.00"),
        (999_999_999, "0.99", "0.999999999"),
    ],
)
def test_credits_are_shown_towards_zero_and_kept_exactly(nano: int, shown: str, exact: str) -> None:
    assert (str(Credits(nano)), Credits(nano).exact) == (shown, exact)


@given(st.integers(-(10**20), 10**20))
def test_nobody_is_shown_more_than_they_have(nano: int) -> None:
    whole, cents = re.fullmatch(r"-?(\d+)\.(\d\d)", str(Credits(nano))).groups()  # type: ignore[union-attr]
    shown = (int(whole) * 100 + int(cents)) * 10_000_000
    assert shown <= abs(nano) < shown + 10_000_000


@given(amounts)
def test_a_dollar_buys_a_credit_to_the_last_cent(amount: Usd) -> None:
    bought = Credits.bought_for(amount)
    assert bought.nano == amount.cents * 10_000_000
    assert str(bought) == bought.exact == str(amount)


def _plain(typed: str) -> str:
    marks = str.maketrans("０１２３４５６７８９．，＇－＄ＵＳＤｕｓｄ", "0123456789.,'-$USDusd")
    return re.sub(r"\s+", " ", typed.translate(marks)).strip()


def _with_cents(bare: str) -> str:
    """A dash in the place of the cents says that there are none."""
    whole = bare.rstrip("-–—").rstrip()
    return f"{whole}00" if whole != bare and whole.endswith((".", ",")) else bare


def _meaning(typed: str, decimal: str, group: str) -> int | None:
    """What ``typed`` means where people write with these marks, worked out in another way than the bot does."""
    whole, mark, fraction = typed.partition(decimal)
    first, *groups = whole.split(group)
    if not (first.isascii() and first.isdigit()) or (len(first) > 1 and first[0] == "0"):
        return None
    if groups and (len(first) > 3 or first == "0" or any(not re.fullmatch("[0-9]{3}", each) for each in groups)):
        return None
    if mark and not re.fullmatch("[0-9]{1,2}", fraction):
        return None
    return int("".join([first, *groups])) * 100 + int(fraction.ljust(2, "0") or 0)
