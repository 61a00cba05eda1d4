"""Modals and App Homes: opened, pushed, updated and closed by Slack's rules, with what people have entered in them."""

import json
from collections.abc import Iterator
from typing import Any, Literal

from bot.sandbox.slack import inputs
from bot.sandbox.slack.blockkit import VIEW_BYTES, check_view, complete, interactive
from bot.sandbox.slack.records import CannotDo, Json, OpenView
from bot.sandbox.slack.state import SlackError, State, Trigger

MOST_STACKED = 3


class Views:
    def __init__(self, state: State) -> None:
        self._state = state
        self._stacks: dict[str, list[OpenView]] = {}
        self._homes: dict[str, OpenView] = {}

    # --- what people have in front of them

    def top(self, user: str) -> OpenView | None:
        stack = self._stacks.get(user)
        return stack[-1] if stack else None

    def home(self, user: str) -> OpenView | None:
        return self._homes.get(user)

    def stack(self, user: str) -> list[OpenView]:
        return list(self._stacks.get(user, []))

    def is_open(self, view: OpenView) -> bool:
        return any(view is other for other in self._all())

    def _all(self) -> Iterator[OpenView]:
        for stack in self._stacks.values():
            yield from stack
        yield from self._homes.values()

    # --- what the bot asks for

    def open(self, trigger: Trigger, view: Json) -> OpenView:
        opened = self._new("modal", trigger.user, view, channel=trigger.channel)
        self._stacks[trigger.user] = [opened]
        trigger.used = True
        self._tell(opened)
        return opened

    def push(self, trigger: Trigger, view: Json) -> OpenView:
        if trigger.view_id is None or not self._stacks.get(trigger.user):
            raise SlackError("not_found")
        pushed = self._pushed(trigger.user, view)
        trigger.used = True
        return pushed

    def _pushed(self, user: str, view: Json) -> OpenView:
        stack = self._stacks[user]
        if len(stack) >= MOST_STACKED:
            raise SlackError("push_limit_reached")
        pushed = self._new("modal", user, view, channel=stack[0].channel)
        pushed.root_id, pushed.previous_id = stack[0].id, stack[-1].id
        stack.append(pushed)
        self._tell(pushed)
        return pushed

    def update(self, view: Json, *, view_id: str = "", external_id: str = "", hash: str = "") -> OpenView:
        target = self._find(view_id, external_id)
        self._check(view, target.type, target)
        if hash and hash != target.hash:
            raise SlackError("hash_conflict")
        self._replace(target, view)
        return target

    def publish(self, user: str, view: Json, *, hash: str = "") -> OpenView:
        if not self._state.home_enabled:
            raise SlackError("not_enabled")
        current = self._homes.get(user)
        self._check(view, "home", current)
        if current is None:
            self._homes[user] = self._new("home", user, view)
            self._tell(self._homes[user])
            return self._homes[user]
        if hash and hash != current.hash:
            raise SlackError("hash_conflict")
        self._replace(current, view)
        return current

    def _find(self, view_id: str, external_id: str) -> OpenView:
        for view in self._all():
            if view.id == view_id or (external_id and view.view.get("external_id") == external_id):
                return view
        raise SlackError("not_found")

    def _check(self, view: Any, kind: Literal["modal", "home"], target: OpenView | None) -> None:
        if reasons := check_view(view, kind):
            raise SlackError.because("invalid_arguments", *reasons)
        if len(json.dumps(view)) > VIEW_BYTES:
            raise SlackError("view_too_large")
        external_id = view.get("external_id")
        if external_id and any(v.view.get("external_id") == external_id and v is not target for v in self._all()):
            raise SlackError("duplicate_external_id")

    def _new(self, kind: Literal["modal", "home"], user: str, view: Json, *, channel: str = "") -> OpenView:
        self._check(view, kind, None)
        id = self._state.new_id("V")
        opened = OpenView(id, user, kind, {}, "", root_id=id, channel=channel)
        self._fill_in(opened, view)
        return opened

    def _replace(self, target: OpenView, view: Json) -> None:
        self._fill_in(target, view)
        target.errors, target.notice = {}, ""
        self._tell(target)

    def _fill_in(self, target: OpenView, view: Json) -> None:
        """Take the view as the bot sent it. What a person entered stays where block and action are still the same."""
        target.view = {**view, "blocks": complete(view["blocks"], lambda: self._state.new_id("b"))}
        target.hash = f"{self._state.seconds()}.{self._state.new_id('h')}"
        entered, target.state = target.state, {}
        for block, element in fields(target):
            kept = entered.get(block["block_id"], {}).get(element["action_id"])
            if kept is None or kept["type"] != element["type"]:
                kept = inputs.at_first(element, target.channel)
            target.state.setdefault(block["block_id"], {})[element["action_id"]] = kept

    def _tell(self, view: OpenView) -> None:
        self._state.feed.publish(view.type if view.type == "home" else "view", user=view.user, view=view.id)

    # --- what happens to them in front of a person

    def show_errors(self, view: OpenView, errors: dict[str, str]) -> None:
        view.errors, view.notice = errors, ""
        self._tell(view)

    def show_notice(self, view: OpenView, notice: str) -> None:
        view.notice = notice
        self._tell(view)

    def close(self, view: OpenView) -> None:
        stack = self._stacks.get(view.user, [])
        if view in stack:
            stack.remove(view)
            self._tell(view)

    def clear(self, user: str) -> list[OpenView]:
        """Close all modals of a person and return them, topmost first."""
        closed = list(reversed(self._stacks.pop(user, [])))
        for view in closed:
            self._tell(view)
        return closed

    def respond(self, view: OpenView, answer: Json) -> None:
        """Do what the bot answered to a submit. ``SlackError`` when Slack could make nothing of it."""
        match answer.get("response_action"):
            case None:
                self.close(view)
            case "clear":
                self.clear(view.user)
            case "errors":
                self.show_errors(view, _errors(view, answer.get("errors")))
            case "update":
                self._check(answer.get("view"), "modal", view)
                self._replace(view, answer["view"])
            case "push":
                self._pushed(view.user, answer.get("view", {}))
            case other:
                raise SlackError.because("invalid_response_action", f"unsupported response_action: {other}")


def _errors(view: OpenView, errors: Any) -> dict[str, str]:
    known = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    if not isinstance(errors, dict) or not errors:
        raise SlackError.because("invalid_response_action", "errors must name at least one input block")
    for block_id, words in errors.items():
        if block_id not in known:
            raise SlackError.because("invalid_response_action", f"there is no input block {block_id!r}")
        if not isinstance(words, str) or not words:
            raise SlackError.because("invalid_response_action", f"the error of {block_id!r} must be words")
    return dict(errors)


def fields(view: OpenView) -> Iterator[tuple[Json, Json]]:
    """Every (block, element) of a view that holds a value."""
    for block in view.blocks:
        for element in interactive(block):
            if element["type"] in inputs.VALUE_KEYS and element["type"] != "overflow":
                yield block, element


def field(view: OpenView, name: str) -> tuple[Json, Json]:
    """The field with this action id, or block id."""
    for block, element in fields(view):
        if name in (element["action_id"], block["block_id"]):
            return block, element
    raise CannotDo(f"there is no field {name!r} in {view.title or 'this view'!r}")
