"""Reads the arguments of a Web API call (form, query or JSON); refuses what is missing, misspelt or of a wrong type."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from bot.sandbox.slack.records import Json
from bot.sandbox.slack.state import SlackError

Read = Callable[[Any], Any]


class Unreadable(Exception):
    """An argument is not what it should be; the message says what it should be."""


def words(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Unreadable("must be a string")
    return str(value)


def flag(value: Any) -> bool:
    if value in (True, "true", "True", "1"):
        return True
    if value in (False, "false", "False", "0"):
        return False
    raise Unreadable("must be a boolean")


def whole(value: Any) -> int:
    try:
        return int(words(value))
    except ValueError as wrong:
        raise Unreadable("must be an integer") from wrong


def moment(value: Any) -> str:
    """A time as Slack writes it: seconds, a dot, a fraction."""
    if not re.fullmatch(r"\d{1,12}(\.\d{1,6})?", words(value), re.ASCII):
        raise Unreadable("must be a timestamp")
    return words(value)


def structure(value: Any) -> Any:
    """A list or an object; in a form it is written as JSON."""
    try:
        read = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as wrong:
        raise Unreadable("must be JSON") from wrong
    if not isinstance(read, (dict, list)):
        raise Unreadable("must be an array or an object")
    return read


def names(value: Any) -> list[str]:
    """A list of ids; in a form they are separated by commas."""
    return [str(item) for item in value] if isinstance(value, list) else words(value).split(",")


@dataclass(frozen=True)
class Signature:
    """The arguments that a method knows."""

    required: Mapping[str, Read] = field(default_factory=dict)
    optional: Mapping[str, Read] = field(default_factory=dict)

    def check(self, given: Json) -> Json:
        known = {**self.required, **self.optional}
        wrong = [f"missing required field: {name}" for name in self.required if given.get(name) in (None, "")]
        read: Json = {}
        for name, value in given.items():
            if name not in known:
                wrong.append(f"unknown argument: {name}")
            elif value is not None:
                try:
                    read[name] = known[name](value)
                except Unreadable as unreadable:
                    wrong.append(f"{unreadable} [json-pointer:/{name}]")
        if wrong:
            raise SlackError.because("invalid_arguments", *wrong)
        return read


async def given(request: Request) -> Json:
    """All arguments of a request as they were written, ``token`` included."""
    found: Json = dict(request.query_params)
    content = request.headers.get("content-type", "").split(";")[0].strip()
    if request.method == "GET" or not await request.body():
        return found
    if content == "application/json":
        return found | _json(await request.body())
    if content == "application/x-www-form-urlencoded":
        return found | dict(parse_qsl((await request.body()).decode(errors="replace"), keep_blank_values=True))
    raise SlackError("invalid_form_data" if not content else "invalid_post_type")


def _json(body: bytes) -> Json:
    try:
        read = json.loads(body)
    except ValueError as unreadable:
        raise SlackError("invalid_json") from unreadable
    if not isinstance(read, dict):
        raise SlackError("json_not_object")
    return read
