"""What people see of support: the form, what it turns into, and the message that follows a case. From facts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    CheckboxesElement,
    EmailInputElement,
    InputBlock,
    Option,
    PlainTextInputElement,
    SectionBlock,
    StaticSelectElement,
)
from slack_sdk.models.views import View

from bot.slack import mrkdwn, names
from bot.slack.buttons import contact_support
from bot.support.model import LONGEST_WORDS, Attach, Case, Entry, Purchase, State
from bot.text import Texts

LONGEST_OPTION = 75


@dataclass(frozen=True, slots=True)
class Form:
    """What a form carries with it, and hands back when it is submitted."""

    nonce: str
    about: str

    def dumps(self) -> str:
        return json.dumps([self.nonce, self.about])

    @classmethod
    def loads(cls, metadata: str) -> "Form":
        return cls(*json.loads(metadata))


@dataclass(frozen=True, slots=True)
class Filled:
    """What was filled in."""

    words: str
    purchase_id: str | None
    attach: frozenset[Attach]
    copy: bool
    address: str | None


def support_form(
    texts: Texts,
    form: Form,
    *,
    words: str = "",
    said: str = "",
    purchases: Sequence[Purchase] = (),
    chosen: Purchase | None = None,
    email: str | None = None,
) -> View:
    """The form, which begins with ``words`` of their own, or with what they were told (``said``).

    ``email`` is their address, where Slack tells it.
    """
    return View(
        type="modal",
        callback_id=names.SUPPORT_FORM,
        private_metadata=form.dumps(),
        title=texts("support.title"),
        submit=texts("support.submit"),
        close=texts("form.cancel"),
        blocks=[
            InputBlock(
                block_id=names.SUPPORT_WORDS,
                label=texts("support.words"),
                hint=texts("support.words_hint"),
                element=PlainTextInputElement(
                    action_id=names.SUPPORT_WORDS,
                    multiline=True,
                    max_length=LONGEST_WORDS,
                    initial_value=(words or _beginning(texts, said, chosen))[:LONGEST_WORDS] or None,
                    focus_on_load=True,
                ),
            ),
            *(_about_a_purchase(texts, purchases, chosen) if purchases else ()),
            _copy(texts, email) if email else _address(texts),
        ],
    )


def _beginning(texts: Texts, said: str, purchase: Purchase | None) -> str:
    if purchase:
        return texts("support.about_purchase", amount=purchase.amount, state=texts(f"state.{purchase.status}")) + "\n"
    return f"{texts('support.was_told', said=said)}\n" if said else ""


def _about_a_purchase(texts: Texts, purchases: Sequence[Purchase], chosen: Purchase | None) -> list[Block]:
    options = [Option(value=each.id, label=_line(texts, each)) for each in purchases]
    ticks = [Option(value=each.value, label=texts(f"support.attach.{each}")) for each in Attach]
    return [
        InputBlock(
            block_id=names.SUPPORT_PURCHASE,
            label=texts("support.purchase"),
            optional=True,
            element=StaticSelectElement(
                action_id=names.SUPPORT_PURCHASE,
                placeholder=texts("support.purchase_placeholder"),
                options=options,
                initial_option=next((each for each in options if chosen and each.value == chosen.id), None),
            ),
        ),
        InputBlock(
            block_id=names.SUPPORT_ATTACH,
            label=texts("support.attach"),
            optional=True,
            element=CheckboxesElement(action_id=names.SUPPORT_ATTACH, options=ticks, initial_options=ticks),
        ),
    ]


def _line(texts: Texts, purchase: Purchase) -> str:
    facts = {"when": purchase.created_at, "amount": purchase.amount, "state": texts(f"state.{purchase.status}")}
    return texts("support.purchase_line", **facts)[:LONGEST_OPTION]


def _copy(texts: Texts, email: str) -> Block:
    words = texts("support.copy_to", address=email)
    shown = words if len(words) <= LONGEST_OPTION else texts("support.copy_to_me")
    return InputBlock(
        block_id=names.SUPPORT_COPY,
        label=texts("support.copy"),
        optional=True,
        element=CheckboxesElement(action_id=names.SUPPORT_COPY, options=[Option(value="copy", label=shown)]),
    )


def _address(texts: Texts) -> Block:
    return InputBlock(
        block_id=names.SUPPORT_ADDRESS,
        label=texts("support.address"),
        hint=texts("support.address_hint"),
        optional=True,
        element=EmailInputElement(action_id=names.SUPPORT_ADDRESS),
    )


def read_form(values: Mapping[str, Mapping[str, Any]]) -> Filled:
    """What the form was submitted with."""
    given = {name: value for block in values.values() for name, value in block.items()}

    def ticked(name: str) -> list[str]:
        return [option["value"] for option in (given.get(name) or {}).get("selected_options") or []]

    chosen = (given.get(names.SUPPORT_PURCHASE) or {}).get("selected_option")
    return Filled(
        words=(given.get(names.SUPPORT_WORDS) or {}).get("value") or "",
        purchase_id=chosen["value"] if chosen else None,
        attach=frozenset(map(Attach, ticked(names.SUPPORT_ATTACH))),
        copy=bool(ticked(names.SUPPORT_COPY)),
        address=(given.get(names.SUPPORT_ADDRESS) or {}).get("value"),
    )


def sent(texts: Texts, entry: Entry, support: str, link: str | None) -> str:
    """What the submitted form turns into."""
    if link:
        return texts("support.by_hand", number=entry.number, support=support, link=_link(texts, link))
    return texts("support.sent" if entry.n == 1 else "support.added", number=entry.number, support=support)


def note(
    texts: Texts, case: Case, entry: Entry, purchase: Purchase | None, support: str, link: str | None
) -> tuple[str, Sequence[Block]]:
    """The message in the conversation with whoever waits: where the entry is now."""
    facts = {"number": case.number, "support": support, "link": _link(texts, link or "")}
    if entry.user_id is None and purchase:
        opened = texts(f"support.{entry.kind}", amount=purchase.amount, number=case.number)
        said = f"{opened} {texts(f'support.auto.{entry.state}', **facts)}"
        more = ActionsBlock(elements=[contact_support(texts, f"purchase:{purchase.id}")])
        return said, [SectionBlock(text=said), more]
    nowhere = entry.state is State.ACCEPTED and not entry.address
    key = "support.note.accepted_slack" if nowhere else f"support.note.{entry.state}"
    said = texts(key, **facts, address=mrkdwn.escape(entry.address or ""))
    return said, [SectionBlock(text=said)]


def lost(texts: Texts, case: Case, support: str) -> tuple[str, Sequence[Block]]:
    """What becomes of that message when another one tells that it was in vain."""
    said = texts("support.note.lost", number=case.number, support=support)
    return said, [SectionBlock(text=said)]


def _link(texts: Texts, link: str) -> str:
    return mrkdwn.link(link, texts("support.link"))
