"""Parameters as Stripe reads them: nested form fields become values, and whatever is unknown or missing is refused."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl

from bot.sandbox.stripe.errors import JsonObject, StripeRefusal, malformed

METADATA_KEYS, METADATA_KEY_LENGTH, METADATA_VALUE_LENGTH = 50, 40, 500
DEEPEST = 12
_NAME = re.compile(r"[^\[\]]+")
_PART = re.compile(r"\[([^\[\]]*)\]")


class Field(Protocol):
    """What one parameter may be. ``read`` returns its value or refuses; ``name`` is for the refusal."""

    @property
    def required(self) -> bool: ...

    def read(self, raw: object, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Text:
    """A string. ``clearable`` ones may be set to nothing with an empty string."""

    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int = 5000
    clearable: bool = False

    def read(self, raw: object, name: str) -> str | None:
        text = _scalar(raw, name, "string")
        if not text:
            _check_clearable(name, self.clearable)
            return None
        if self.choices and text not in self.choices:
            raise malformed(f"Invalid {name}: must be one of {_listed(self.choices)}", param=name)
        if len(text) > self.longest:
            raise malformed(f"Invalid string: {name} must be at most {self.longest} characters", param=name)
        return text


@dataclass(frozen=True, slots=True)
class Address:
    """A web address."""

    required: bool = False

    def read(self, raw: object, name: str) -> str:
        text = _scalar(raw, name, "string")
        if not re.fullmatch(r"https?://[^/\s]+\S*", text):
            raise malformed("Not a valid URL", param=name, code="url_invalid")
        return text


@dataclass(frozen=True, slots=True)
class Email:
    """An address for mail."""

    required: bool = False
    clearable: bool = False

    def read(self, raw: object, name: str) -> str | None:
        text = Text(longest=512, clearable=self.clearable).read(raw, name)
        if text and not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s.]+", text):
            raise malformed(f"Invalid email address: {text}", param=name, code="email_invalid")
        return text


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer."""

    required: bool = False
    least: int | None = None
    most: int | None = None

    def read(self, raw: object, name: str) -> int:
        text = _scalar(raw, name, "integer")
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise malformed(f"Invalid integer: {text}", param=name, code="parameter_invalid_integer")
        value = int(text)
        if self.least is not None and value < self.least:
            raise _out_of_range(f"This value must be greater than or equal to {self.least}.", name)
        if self.most is not None and value > self.most:
            raise _out_of_range(
                f"This value must be less than or equal to {self.most} (it currently is '{value}').", name
            )
        return value


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean; ``words`` are accepted beside true and false."""

    required: bool = False
    words: tuple[str, ...] = ()

    def read(self, raw: object, name: str) -> bool | str:
        text = _scalar(raw, name, "boolean")
        if text in self.words:
            return text
        if text not in {"true", "false"}:
            raise malformed(f"Invalid boolean: {text}", param=name)
        return text == "true"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Free key-value pairs. An empty value unsets its key, an empty string unsets them all."""

    required: bool = False

    def read(self, raw: object, name: str) -> dict[str, str]:
        if raw == "":
            return {}
        pairs = _hash(raw, name)
        if len(pairs) > METADATA_KEYS:
            raise malformed(f"You can only specify {METADATA_KEYS} metadata keys.", param=name)
        return {key: self._value(key, value, name) for key, value in pairs.items()}

    def _value(self, key: str, value: object, name: str) -> str:
        text = _scalar(value, f"{name}[{key}]", "string")
        if len(key) > METADATA_KEY_LENGTH:
            raise malformed(f"Metadata keys can have up to {METADATA_KEY_LENGTH} characters: {key}", param=name)
        if len(text) > METADATA_VALUE_LENGTH:
            raise malformed(
                f"Metadata values can have up to {METADATA_VALUE_LENGTH} characters, but you passed in a value that is "
                f"{len(text)} characters. Invalid value: {text}",
                param=name,
            )
        return text


@dataclass(frozen=True, slots=True)
class Many:
    """A list of the same."""

    item: Field
    required: bool = False
    most: int = 100

    def read(self, raw: object, name: str) -> list[Any]:
        if not isinstance(raw, list):
            raise malformed("Invalid array", param=name)
        if len(raw) > self.most:
            raise malformed(f"Array {name} exceeded maximum {self.most} allowed elements.", param=name)
        return [self.item.read(value, f"{name}[{index}]") for index, value in enumerate(raw)]


@dataclass(frozen=True, slots=True)
class Hash:
    """Named parameters inside another one, or the whole request (whose name is empty)."""

    fields: Mapping[str, Field] = field(default_factory=dict)
    required: bool = False

    def read(self, raw: object, name: str) -> JsonObject:
        values = _hash(raw, name)
        if unknown := [_inside(name, key) for key in values if key not in self.fields]:
            plural = "s" if len(unknown) > 1 else ""
            raise malformed(
                f"Received unknown parameter{plural}: {', '.join(unknown)}", param=unknown[0], code="parameter_unknown"
            )
        for key, known in self.fields.items():
            if known.required and key not in values:
                missing = _inside(name, key)
                raise malformed(f"Missing required param: {missing}.", param=missing, code="parameter_missing")
        return {key: self.fields[key].read(value, _inside(name, key)) for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class Span:
    """A moment in Unix seconds, or a span of time by ``gt``, ``gte``, ``lt``, ``lte``. Always read as a span."""

    required: bool = False

    def read(self, raw: object, name: str) -> JsonObject:
        if isinstance(raw, str):
            moment = Whole().read(raw, name)
            return {"gte": moment, "lte": moment}
        return Hash({key: Whole() for key in ("gt", "gte", "lt", "lte")}).read(raw, name)


def decode(form: str) -> JsonObject:
    """``a[b][0]=c`` as ``{"a": {"b": ["c"]}}``. Values stay strings; ``[]`` and ``[0]`` both make lists."""
    tree: JsonObject = {}
    for name, value in parse_qsl(form, keep_blank_values=True):
        _plant(tree, _path(name), value, name)
    return {key: _with_lists(value) for key, value in tree.items()}


def _path(name: str) -> list[str]:
    head = _NAME.match(name)
    if head is None:
        raise malformed(f"Invalid request: the parameter name '{name}' cannot be read")
    rest = name[head.end() :]
    parts = _PART.findall(rest)
    if "".join(f"[{part}]" for part in parts) != rest or len(parts) > DEEPEST:
        raise malformed(f"Invalid request: the parameter name '{name}' cannot be read")
    return [head.group(), *parts]


def _plant(tree: JsonObject, path: list[str], value: str, name: str) -> None:
    branch = tree
    for part in path[:-1]:
        inner = branch.setdefault(part or str(len(branch)), {})
        if not isinstance(inner, dict):
            raise malformed(f"Invalid request: '{name}' is given as a value and as a group")
        branch = inner
    last = path[-1] or str(len(branch))
    if isinstance(branch.get(last), dict):
        raise malformed(f"Invalid request: '{name}' is given as a value and as a group")
    branch[last] = value


def _with_lists(value: Any) -> Any:
    """Groups whose names are 0, 1, 2 and so on are lists."""
    if not isinstance(value, dict):
        return value
    inner = {key: _with_lists(item) for key, item in value.items()}
    places = [str(place) for place in range(len(inner))]
    return [inner[place] for place in places] if inner.keys() == set(places) else inner


def _inside(outer: str, name: str) -> str:
    return f"{outer}[{name}]" if outer else name


def _scalar(raw: object, name: str, kind: str) -> str:
    if not isinstance(raw, str):
        raise malformed(f"Invalid {kind}: {name} is not a single value", param=name)
    return raw


def _hash(raw: object, name: str) -> JsonObject:
    if raw == []:
        return {}
    if isinstance(raw, list):
        return {str(index): value for index, value in enumerate(raw)}
    if not isinstance(raw, dict):
        raise malformed("Invalid object", param=name)
    return raw


def _check_clearable(name: str, clearable: bool) -> None:
    if not clearable:
        raise malformed(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{name}' cannot be unset. You should remove '{name}' from your request or supply a non-empty "
            "value.",
            param=name,
            code="parameter_invalid_empty",
        )


def _out_of_range(message: str, name: str) -> StripeRefusal:
    return malformed(message, param=name, code="parameter_invalid_integer")


def _listed(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last
