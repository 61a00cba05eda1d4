"""The catalogues against the code: every sentence that is asked for is there, in every language, and no other."""

import ast
import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import pytest
from babel.messages.catalog import Message

from bot.accounts.model import Standing
from bot.money import Credits, Usd
from bot.purchases.model import Status
from bot.support.model import Attach, State
from bot.text import Texts, catalog, languages, texts_for

from .source import SHIPPED, nodes

KEY = re.compile(r"[a-z]+(\.[a-z_]+)+")

FAMILIES = {  # keys that are put together: what the hole in them may be
    "state.{}": [status.value for status in Status],
    "card.{}": ["dispute_lost"] + [status.value for status in Status if status.value not in ("requested", "charging")],
    "channel.{}": ["under_way", "settled", "not_bought", "quarantined", "refunded", "disputed", "dispute_lost"],
    "decline.{}": [
        *("insufficient_funds", "expired_card", "authentication_required", "card_velocity_exceeded"),
        *("currency_not_supported", "resource_missing", "other"),
    ],
    "refusal.not_full_member.{}": [standing.value for standing in Standing if standing is not Standing.MEMBER],
    "support.{}": ["unknown", "quarantined"],
    "support.attach.{}": [each.value for each in Attach],
    "support.note.{}": [state.value for state in State],
    "support.auto.{}": [state.value for state in State],
    "page.{}.title": ["done", "cancelled"],
    "page.{}.body": ["done", "cancelled"],
}


OURS = {  # our languages: what Slack calls each, and how 1234.50 dollars are typed there
    "da": ("da-DK", "1.234,50"),
    "de": ("de-DE", "1.234,50"),
    "en": ("en-US", "1,234.50"),
    "es": ("es-ES", "1.234,50"),
    "es_419": ("es-LA", "1,234.50"),
    "fi": ("fi-FI", "1\u00a0234,50"),
    "fr": ("fr-FR", "1\u202f234,50"),
    "it": ("it-IT", "1.234,50"),
    "ja": ("ja-JP", "1,234.50"),
    "ko": ("ko-KR", "1,234.50"),
    "nb": ("nb-NO", "1\u00a0234,50"),
    "nl": ("nl-NL", "1.234,50"),
    "pl": ("pl-PL", "1\u00a0234,50"),
    "pt": ("pt-PT", "1\u00a0234,50"),
    "pt_BR": ("pt-BR", "1.234,50"),
    "sv": ("sv-SE", "1\u00a0234,50"),
    "tr": ("tr-TR", "1.234,50"),
    "uk": ("uk-UA", "1\u00a0234,50"),
    "vi": ("vi-VN", "1.234,50"),
    "zh_Hans": ("zh-CN", "1,234.50"),
    "zh_Hant": ("zh-TW", "1,234.50"),
}


def test_every_language_of_ours_has_a_catalogue() -> None:
    assert set(languages()) == OURS.keys()


@pytest.mark.parametrize("language", OURS)
def test_slack_s_name_of_a_language_finds_it(language: str) -> None:
    slack, _ = OURS[language]
    assert {texts_for(name).language for name in (slack, slack.replace("-", "_"), language)} == {language}


@pytest.mark.parametrize("language", languages())
def test_a_catalogue_has_the_sentences_that_the_code_asks_for_and_no_other(language: str) -> None:
    assert set(_sentences(language)) == _asked_for()


def test_the_code_puts_together_no_key_that_is_unknown_here() -> None:
    roots = {key.partition(".")[0] for key in _sentences("en")}
    patterns = {pattern for pattern in _patterns() if KEY.fullmatch(pattern.replace("{}", "x"))}
    assert {pattern for pattern in patterns if pattern.partition(".")[0] in roots} == FAMILIES.keys()


@pytest.mark.parametrize("language", languages())
def test_a_translation_takes_the_facts_of_the_english_sentence(language: str) -> None:
    english = _sentences("en")
    for key, forms in _sentences(language).items():
        facts = {frozenset(_facts(form)) for form in forms}
        assert facts == {frozenset(_facts(english[key][0]))}, key


@pytest.mark.parametrize("language", languages())
def test_no_sentence_is_empty_unfinished_or_of_another_translators_making(language: str) -> None:
    for key, forms in _sentences(language).items():
        assert all(form and form == form.strip() for form in forms), key
    assert [message.id for message in catalog(language) if message.id and message.fuzzy] == []


@pytest.mark.parametrize("language", languages())
def test_a_plural_has_as_many_forms_as_the_language(language: str) -> None:
    plurals = [_forms(message) for message in catalog(language) if message.pluralizable]
    assert plurals
    assert {len(forms) for forms in plurals} == {catalog(language).num_plurals}


def test_money_and_numbers_are_written_as_the_language_does() -> None:
    english, danish = texts_for("en-US"), texts_for("da-DK")
    assert english.show(Usd(123450)) == "$1,234.50"
    assert danish.show(Usd(123450)) == "1.234,50\u00a0USD"
    assert english.show(Credits(1_234_567_890_000)) == "1,234.56"
    assert danish.show(Credits(1_234_567_890_000)) == "1.234,56"
    assert english.show(Credits(-1_234_567_890_000)) == "-1,234.56"
    assert english.show(Credits.ZERO) == "0.00"
    assert (english.show(12345), danish.show(12345)) == ("12,345", "12.345")
    assert english.show(datetime(2026, 11, 3, tzinfo=UTC)) == "November 3, 2026"
    assert danish.show(datetime(2026, 11, 3, tzinfo=UTC)) == "3. november 2026"


@pytest.mark.parametrize("language", OURS)
def test_an_amount_is_read_again_as_the_language_writes_it(language: str) -> None:
    texts, (_, typed) = texts_for(language), OURS[language]
    assert texts.write_amount(Usd(123450)) == typed
    for amount in map(Usd, (100, 1250, 99999, 123400, 123450, 10_000_000)):
        written = texts.write_amount(amount)
        for way in (written, _wide(written), _wide(f"${written}"), texts.show(amount), texts.short(amount)):
            assert texts.read_amount(way) == amount, way


@pytest.mark.parametrize(
    ("language", "typed"),
    [
        *(("fr", "1234,50 $US"), ("fr", "1 234,50\u00a0$"), ("fr", "1.234,50"), ("de", "1’234.50"), ("it", "1'234,50")),
        *(("es", "1 234,50 US$"), ("es", "1,234.50"), ("es_419", "USD 1.234,50"), ("pt", "1.234,50"), ("pt", "1234,5")),
        *(("tr", "$1.234,5"), ("pl", "1234,50 USD"), ("sv", "1.234,50"), ("vi", "1,234.50"), ("uk", "1\u2009234,50")),
        *(("ja", "１，２３４．５０"), ("ja", "＄１２３４．５"), ("ja", "1\u3000234.5"), ("ko", "1,234.5")),
        *(("zh_Hans", "ＵＳ＄1，234．50"), ("zh_Hant", "１２３４．５　ＵＳＤ")),
    ],
)
def test_an_amount_is_read_in_the_ways_that_people_type_it(language: str, typed: str) -> None:
    assert texts_for(language).read_amount(typed) == Usd(123450)


def test_several_people_are_a_choice_as_the_language_puts_it() -> None:
    assert [texts_for("en").show(people) for people in ((), ("A",), ("A", "B"), ("A", "B", "C"))] == [
        *("", "A", "A or B", "A, B, or C")
    ]
    assert texts_for("da").show(("A", "B", "C")) == "A, B eller C"


def test_more_is_never_shown_than_there_is() -> None:
    assert texts_for("en").show(Credits(999_999_999)) == "0.99"


@pytest.mark.parametrize("fact", [1.5, Decimal(1), None, True, ["a"]])
def test_a_fact_without_a_way_to_write_it_is_a_bug(fact: object) -> None:
    with pytest.raises(TypeError):
        texts_for("en").show(fact)


def test_a_number_chooses_the_plural() -> None:
    facts = {"buyer": "<@U1>", "amount": Usd(2500)}
    assert "1 second ago" in texts_for("en")("buy.again", n=1, **facts)
    assert "20 seconds ago" in texts_for("en")("buy.again", n=20, **facts)
    assert "for 1 sekund siden" in texts_for("da")("buy.again", n=1, **facts)
    assert "for 20 sekunder siden" in texts_for("da")("buy.again", n=20, **facts)


def test_braces_in_a_fact_are_only_text() -> None:
    assert "{support} {0}" in texts_for("en")("command.unknown", typed="{support} {0}")


def test_an_unknown_key_is_a_bug_and_not_a_sentence() -> None:
    with pytest.raises(KeyError, match=r"buy\.nonsense"):
        texts_for("en")("buy.nonsense")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        ("da-DK", "da"),
        ("da", "da"),
        ("da_DK", "da"),
        ("en-GB", "en"),
        ("en-US", "en"),
        ("cs-CZ", "en"),
        ("zz-ZZ", "en"),
        ("", "en"),
        ("-", "en"),
        ("../../etc/passwd", "en"),
        ("da\x00", "en"),
        (None, "en"),
    ],
)
def test_a_reader_gets_their_language_or_english(locale: str | None, language: str) -> None:
    assert texts_for(locale).language == language


def test_languages_that_somebody_makes_up_do_not_pile_up() -> None:
    for n in range(2000):
        texts_for(f"en-x{n}")
    assert texts_for.cache_info().currsize <= 500


@pytest.mark.parametrize("texts", [texts_for(language) for language in languages()], ids=languages())
def test_the_limits_are_facts_of_a_sentence(texts: Texts) -> None:
    hint = texts("buy.limits", **texts.limits)
    assert texts.short(Usd(100)) in hint
    assert texts.short(Usd(10_000_000)) in hint


def _wide(typed: str) -> str:
    """As a Japanese or Chinese keyboard writes it."""
    return "".join("\u3000" if each.isspace() else chr(ord(each) + 0xFEE0) for each in typed)


def _sentences(language: str) -> dict[str, tuple[str, ...]]:
    """Each key with its sentence, in all its plural forms."""
    return {_key(message): _forms(message) for message in catalog(language) if message.id}


def _key(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def _forms(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


@cache
def _asked_for() -> set[str]:
    """The keys that stand in the code, and those that it puts together."""
    roots = {key.partition(".")[0] for key in _sentences("en")}
    written = {each for each in _strings() if KEY.fullmatch(each) and each.partition(".")[0] in roots}
    made = {pattern.format(part) for pattern, parts in FAMILIES.items() for part in parts}
    return (written | made) - _NOT_KEYS


_NOT_KEYS = {"page.html", "checkout.done", "refusal.key"}


def _strings() -> Iterator[str]:
    return (node.value for _, node in nodes(ast.Constant, SHIPPED) if type(node.value) is str)


def _patterns() -> Iterator[str]:
    for _, node in nodes(ast.JoinedStr, SHIPPED):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def _facts(sentence: str) -> Iterator[str]:
    return (name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None)
