"""The mail that support reads: in English, for people who have never seen this bot, around the person's own words."""

from collections.abc import Collection, Mapping
from datetime import datetime

from bot.accounts.model import Account, Person
from bot.mail.model import one_line
from bot.support.model import Attach, Case, Entry, Purchase

_NOTICED = {
    "unknown": "For 24 hours nobody could say whether this payment went through. It is not credited, and it is not "
    "charged again: the bot goes on asking.",
    "quarantined": "Money came in for this purchase that is not the amount that was asked. It is not credited.",
}
_FROM = {
    "purchase": "the card of a purchase",
    "refusal": "a refusal",
    "outage": "an outage",
    "bug": "a mistake of the bot; its log has the reference",
    "alert": "a warning about the credits",
    "message": "the menu of a message in Slack",
    "command": "the slash command",
    "home": "the bot's Home tab in Slack",
    "help": "the bot's help",
    "unknown": "the bot itself",
    "quarantined": "the bot itself",
}


def noticed(kind: str) -> str:
    """What the bot says in a case that it opens by itself."""
    return _NOTICED[kind]


def title(about: str, account: Account | None, purchase: Purchase | None) -> str:
    """What a case is about, in one line."""
    kind, _, name = about.partition(":")
    of = f" ({account.name})" if account else ""
    if purchase:
        state = kind if kind in _NOTICED else purchase.status
        return f"Purchase of ${purchase.amount}: {state}{of}"
    match kind:
        case "bug":
            return f"Mistake of the bot {name}{of}"
        case "outage":
            return f"{name} out of reach{of}"
        case "refusal":
            return f"Refused: {name.removeprefix('refusal.')}{of}"
    return f"Question from Slack{of}"


def subject(case: Case) -> str:
    return one_line(f"[{case.number}] {case.subject}")


def body(
    case: Case,
    entry: Entry,
    account: Account | None,
    person: Person | None,
    purchase: Purchase | None,
    attached: Collection[Attach],
) -> str:
    """The person's words first, then what is known about them and about the purchase."""
    parts = [entry.words or "(no words)", _table("Case", _about(case, entry, account, person))]
    if purchase and Attach.PURCHASE in attached:
        parts.append(_table("Purchase", _of_purchase(purchase)))
    if purchase and Attach.STATES in attached:
        parts.append("\n".join(["States", *(_state(*each) for each in purchase.states)]))
    if purchase and Attach.IDS in attached:
        parts.append(_table("At Stripe", purchase.ids))
    return "\n\n".join(parts) + "\n"


def _about(case: Case, entry: Entry, account: Account | None, person: Person | None) -> Mapping[str, str]:
    kind, _, name = entry.about.partition(":")
    known = f"{person.name} " if person and person.name else ""
    return {
        "number": case.number,
        "written by": f"{known}(Slack user {entry.user_id})" if entry.user_id else "the bot itself",
        "answer to": entry.address or "no mail address is known: look for them in Slack",
        "role": _role(entry, account),
        "account": f"{account.name} ({account.id}), plan {account.plan}" if account else "none is linked",
        "workspace": " in ".join(filter(None, [case.workspace.team_id, case.workspace.enterprise_id])),
        "language": entry.locale or "not known",
        "written": _moment(entry.at),
        "from": " ".join(filter(None, [_FROM.get(kind, kind), f"({name})" if name else ""])),
    }


def _role(entry: Entry, account: Account | None) -> str:
    if account is None or entry.user_id is None:
        return "-"
    return "owner of the account" if entry.user_id in account.owners else "not an owner of the account"


def _of_purchase(purchase: Purchase) -> Mapping[str, str]:
    return {
        "id": purchase.id,
        "amount": f"${purchase.amount}",
        "state": purchase.status,
        "begun": _moment(purchase.created_at),
        "buyer": f"Slack user {purchase.buyer_id}",
        "account": purchase.account_id,
        **purchase.facts,
    }


def _state(at: datetime, status: str, note: str | None) -> str:
    return f"  {_moment(at)}  {status}{f'  {note}' if note else ''}"


def _table(heading: str, rows: Mapping[str, str]) -> str:
    width = max(map(len, rows), default=0)
    return "\n".join([heading, *(f"  {name:<{width}}  {fact}" for name, fact in rows.items())])


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
