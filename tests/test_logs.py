"""Logs: what a line looks like, and that no secret gets into one by any door."""

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.logs import configure, redact

VISA = "4242424242424242"
SECRETS = [
    "xoxb-1111-2222-abcDEF",
    "xoxp-1-2-3-deadbeef",
    "xoxe.xoxp-1-Mi0yLTk",
    "xapp-1-A01-123-cafe",
    "sk_live_51Abc",
    "sk_test_51Abc",
    "rk_live_51Abc",
    "whsec_a1B2+c3/d4=",
    "cb_0123456789-abcdefghijklmnopqrstuvwxyzABCDEF_",
    VISA,
    "4242 4242 4242 4242",
    "4242-4242-4242-4242",
    "378282246310005",
    "４２４２４２４２４２４２４２４２",  # digits of another width
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _own_root() -> Iterator[None]:
    """The root logger as it was, whatever a test does to it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    logging.captureWarnings(False)
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    configure("info", stream)
    return stream


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_extra_fields(stream: io.StringIO) -> None:
    facts = {"purchase": "pur_1", "cents": 2500, "late": True, "seconds": 0.25, "people": ("U1", "U2"), "reason": None}
    logging.getLogger("bot.purchases").info("settled %s\nat once", "pur_1", extra=facts)

    [line] = lines(stream)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "logger": "bot.purchases",
        "message": "settled pur_1\nat once",
        **facts,
        "people": ["U1", "U2"],
    }


def test_a_line_stays_json_whatever_the_fields_hold(stream: io.StringIO) -> None:
    odd = {"time": "not mine", "number": float("nan"), "thing": object(), "text": "\u2028 é \ud800", "by": {1: {"a"}}}
    logging.getLogger("bot").info("odd", extra=odd)

    [line] = lines(stream)
    assert line["time"].endswith("Z")
    assert line["number"] == "nan"
    assert line["text"] == odd["text"]
    assert line["by"] == {"1": ["a"]}


def test_an_exception_is_in_the_line_it_belongs_to(stream: io.StringIO) -> None:
    try:
        raise LookupError("no such purchase")
    except LookupError:
        logging.getLogger("bot").exception("failed", stack_info=True)

    [line] = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("LookupError: no such purchase")
    assert line["stack"].startswith("Stack")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_no_door_lets_a_secret_through(secret: str, kind: type[io.StringIO]) -> None:
    stream = kind()
    configure("INFO", stream)
    log = logging.getLogger("bot")
    log.info(f"in the message: {secret}.")
    log.info("in the arguments: %s, %r", secret, {"a": [secret]})
    log.info("in a field", extra={"field": secret, "nested": {secret: [("x", secret)]}, "error": ValueError(secret)})
    try:
        raise ValueError(f"in a traceback {secret}") from KeyError(secret)
    except ValueError:
        log.exception("oh")

    written = stream.getvalue()
    assert secret not in written
    assert written.count("\n") >= 4
    assert "in a traceback [" in written


def test_addresses_lose_their_passwords_and_headers_their_tokens() -> None:
    assert redact("postgresql+psycopg://bot:p@ss/w0rd@db.example/credits") == (
        "postgresql+psycopg://[removed]@db.example/credits"
    )
    assert redact("smtp://:secret@mail") == "smtp://[removed]@mail"
    assert redact("Authorization: Bearer abcdefgh.ijkl") == "Authorization: Bearer [removed]"
    assert redact("GET https://slack.com:443/api/auth.test") == "GET https://slack.com:443/api/auth.test"


def test_known_secrets_without_a_shape_are_removed_too() -> None:
    stream = io.StringIO()
    configure("INFO", stream, secrets=["0123456789abcdef0123456789abcdef", "short", ""])
    logging.getLogger("bot").info("signed with 0123456789abcdef0123456789abcdef, in short")

    assert lines(stream)[0]["message"] == "signed with [removed], in short"


@pytest.mark.parametrize(
    "text",
    [
        "slack ts 1763846400.123456",
        "unix micros 1763846400123456",
        "between 2026-11-22 2026-11-23 2026-11-24",
        "took 0.4242424242424242 s",
        "pur_0199a3c4d5e67f8899aabbccddeeff00",
        "4242424242424241",  # one digit off
        "100000000000000",  # $100,000 in nano-credits
        "task_list, risk_free_rate, mask_it",
        "Bearer of news",
        "T0SANDBOX U0123456789 C0123456789",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


@given(before=st.text("0123456789 -x.", max_size=12), after=st.text("0123456789 -x.", max_size=12))
def test_numbers_beside_a_card_number_do_not_hide_it(before: str, after: str) -> None:
    assert VISA not in redact(f"{before} {VISA} {after}").replace(" ", "").replace("-", "")


def test_a_hostile_message_does_not_hold_the_program_up() -> None:
    started = time.process_time()
    for text in ("://:" * 20_000, "4 " * 10_000, "4" * 100_000, "xoxb" * 50_000, "://" + "a" * 100_000 + ":b"):
        redact(text)
    assert time.process_time() - started < 2


def test_libraries_that_print_tokens_stay_quiet_whatever_the_level() -> None:
    stream = io.StringIO()
    configure("DEBUG", stream)
    bolt = logging.getLogger("slack_bolt.AsyncApp")
    bolt.setLevel(logging.DEBUG)  # as Bolt does from the root logger's level
    quieter = ("stripe", "apscheduler.x", "alembic.runtime.y")
    for name in ("slack_bolt.AsyncApp", "slack_sdk.web", "aiosqlite", *quieter):
        logging.getLogger(name).debug("a token")
        logging.getLogger(name).info("%s may say this", name)
    logging.getLogger("stripe").warning("odd")
    logging.getLogger("bot").debug("ours")
    bolt.setLevel(logging.NOTSET)

    said = [(line["logger"], line["level"]) for line in lines(stream)]
    assert ("bot", "DEBUG") in said
    assert ("stripe", "WARNING") in said
    assert not {(name, "INFO") for name in quieter} & set(said)
    assert len(said) == 5


def test_a_terminal_gets_plain_lines_that_nothing_typed_can_break() -> None:
    stream = Terminal()
    configure("INFO", stream)
    logging.getLogger("bot.web").warning("typed: %s", "a\nb\x1b[31mc", extra={"user": "U1\n"})

    assert stream.getvalue().endswith(" WARNING bot.web: typed: a b [31mc  user=U1 \n")
    assert stream.getvalue().count("\n") == 1


def test_configuring_again_replaces_and_an_unknown_level_is_refused(stream: io.StringIO) -> None:
    second = io.StringIO()
    configure("WARNING", second)
    logging.getLogger("bot").warning("once")

    assert stream.getvalue() == ""
    assert len(lines(second)) == 1
    with pytest.raises(ValueError, match="LOG_LEVEL"):
        configure("loud", second)
