"""Logs: one JSON object a line for machines, plain lines on a terminal, and no secret in either."""

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final, TextIO

_GONE: Final = "[removed]"

_SECRETS: Final = re.compile(
    r"""
      \bxox[a-z](?:\.xox[a-z])?-[\w-]+        # Slack: bot, user, refresh and configuration tokens
    | \bxapp-[\w-]+                           # Slack: app token
    | \b[sr]k_[a-z]+_\w+                      # Stripe: secret and restricted keys
    | \bwhsec_[\w+/=-]+                       # Stripe: webhook secret
    | \bcb_[\w-]{40,}                          # ours
    | (?<=\bBearer\ )\s*\S{8,}                # any token in an Authorization header
    | (?<=://)[^\s:/@]{0,200}:\S{1,500}(?=@)  # user and password of an address, whatever the password is made of
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CARDS: Final = [  # one for each length, so that a number beside a card number does not hide it
    re.compile(rf"(?<!\d)(?<!\d\.)[^\D017-9](?:[ \u00a0-]?\d){{{length - 1}}}(?!\d)") for length in range(19, 12, -1)
]
_DIGITS: Final = re.compile(r"\d(?:[ \u00a0-]?\d){12}")
_ISSUERS: Final = re.compile(
    r"[3-6]|2[2-7]"
)  # how card numbers begin; timestamps begin with 1, this century's years with 20

# These print tokens and whole bodies below INFO. At INFO some print every address, every alarm, every plugin of theirs.
_FLOORS: Final = {
    **dict.fromkeys(("slack_sdk", "slack_bolt", "aiosqlite", "urllib3"), logging.INFO),
    **dict.fromkeys(("stripe", "apscheduler", "alembic", "uvicorn"), logging.WARNING),
}

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CONTROLS: Final = dict.fromkeys([*range(32), *range(127, 160)], " ")
_CONTROLS_IN_TRACE: Final = {sign: space for sign, space in _CONTROLS.items() if chr(sign) not in "\n\t"}


def configure(level: str, stream: TextIO, *, secrets: Iterable[str] = ()) -> None:
    """Send all logs to ``stream``. ``secrets`` are values to remove wherever they appear, for those without a shape.

    Raise ``ValueError`` when there is no such level.
    """
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        raise ValueError(f"LOG_LEVEL is not one of {', '.join(levels)}")
    handler = logging.StreamHandler(stream)
    handler.addFilter(_loud_enough)
    handler.addFilter(Redaction(secrets))
    handler.setFormatter(TextLines() if stream.isatty() else JsonLines())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(floor)


def redact(text: str) -> str:
    """The text without anything that has the shape of a token, a password in an address or a card number."""
    return _without_cards(_SECRETS.sub(_GONE, text))


class Redaction(logging.Filter):
    """Removes secrets from a record, wherever in it they are, before any formatter sees it."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        known = sorted({secret for secret in secrets if len(secret) >= 8}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._text(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        record.exc_info = None  # its text is kept; the exception itself would bring the secrets back
        record.exc_text = self._text(record.exc_text) if record.exc_text else None
        record.stack_info = self._text(record.stack_info) if record.stack_info else None
        for name, value in _extras(record).items():
            setattr(record, name, self._plain(value))
        return True

    def _text(self, text: str) -> str:
        return redact(self._known.sub(_GONE, text) if self._known else text)

    def _plain(self, value: object) -> object:
        """The value as JSON can hold it, without secrets."""
        match value:
            case None | bool():
                return value
            case float() if math.isfinite(value):
                return value
            case int():
                shown = self._text(str(value))
                return value if shown == str(value) else shown
            case Mapping():
                return {self._text(str(key)): self._plain(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._plain(item) for item in value]
        return self._text(str(value))


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, so that no line breaks and no stream refuses it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in _extras(record).items() if name not in line}
        if record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


class TextLines(logging.Formatter):
    """For people at a terminal. A message stays on its line, whatever somebody typed into it."""

    def format(self, record: logging.LogRecord) -> str:
        extras = "".join(f"  {name}={value}" for name, value in _extras(record).items())
        line = f"{_time(record):%H:%M:%S} {record.levelname:<7} {record.name}: {record.getMessage()}{extras}"
        traces = [trace.translate(_CONTROLS_IN_TRACE) for trace in (record.exc_text, record.stack_info) if trace]
        return "\n".join([line.translate(_CONTROLS), *traces])


def _loud_enough(record: logging.LogRecord) -> bool:
    """Whether the record reaches its library's floor. Checked here too because Bolt sets its loggers' levels itself."""
    return record.levelno >= _FLOORS.get(record.name.partition(".")[0], logging.NOTSET)


def _extras(record: logging.LogRecord) -> dict[str, object]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _without_cards(text: str) -> str:
    for card in _CARDS if _DIGITS.search(text) else ():
        start = 0
        while found := card.search(text, start):
            start = found.start() + 1
            if _is_card([int(sign) for sign in found[0] if sign.isdecimal()]):
                text = f"{text[: found.start()]}[card number]{text[found.end() :]}"
    return text


def _is_card(digits: list[int]) -> bool:
    return _ISSUERS.match("".join(map(str, digits))) is not None and _luhn(digits)


def _luhn(digits: list[int]) -> bool:
    """The check that every card number passes and one in ten others."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
