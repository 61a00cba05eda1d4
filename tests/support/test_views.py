"""What people see of support, in every language: within Slack's limits, and with what they typed as text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from slack_sdk.models.blocks import Block

from bot.accounts.model import Workspace
from bot.money import GREATEST, Usd
from bot.purchases.model import Status
from bot.sandbox.slack.blockkit import check_blocks, check_view
from bot.slack.boundary import notice
from bot.support.model import LONGEST_WORDS, Case, Entry, State, ready_mail
from bot.support.views import Form, lost, note, sent, support_form
from bot.text import Texts, languages, texts_for

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
SUPPORT = "support@skydeck.ai"
LINK = ready_mail(SUPPORT, "[SKY-7F3K2] Purchase", "漢" * 5000)


@dataclass(frozen=True)
class Bought:
    """A purchase as support knows it."""

    id: str = "pur_0199c2f0000070008000000000000000"
    account_id: str = "acme"
    workspace: Workspace = Workspace("", "T1")
    buyer_id: str = "U1"
    amount: Usd = GREATEST
    status: str = "declined"
    created_at: datetime = NOON
    facts: Mapping[str, str] = field(default_factory=dict)
    states: Sequence[tuple[datetime, str, str | None]] = ()
    ids: Mapping[str, str] = field(default_factory=dict)


CASE = Case("SKY-7F3K2", Workspace("", "T1"), "acme", None, "Purchase", "U1", NOON, NOON)
ENTRY = Entry("SKY-7F3K2", 1, "n", NOON, "U1", "en-US", "home", "w", "a<b>&c@acme.example", State.ON_ITS_WAY)
BOUGHT = [Bought(id=f"pur_{n}", status=status.value) for n, status in enumerate(Status)]


def messages(texts: Texts) -> Iterator[tuple[str, Sequence[Block]]]:
    for state in State:
        for address in (ENTRY.address, None):
            entry = replace(ENTRY, state=state, address=address)
            yield note(texts, CASE, entry, None, SUPPORT, LINK)
            for kind in ("unknown", "quarantined"):
                itself = replace(entry, user_id=None, about=f"{kind}:{BOUGHT[0].id}")
                yield note(texts, CASE, itself, BOUGHT[0], SUPPORT, LINK)
    yield lost(texts, CASE, SUPPORT)


@pytest.mark.parametrize("language", languages())
def test_slack_takes_the_form_in_every_language(language: str) -> None:
    texts = texts_for(language)
    for email in (None, "anna@acme.example", f"{'a' * 60}@{'b' * 100}.example"):
        for bought in ((), BOUGHT):
            form = Form("n" * 16, "x" * 200)
            yours = {"purchases": bought, "chosen": bought[-1] if bought else None, "email": email}
            for shown in (
                support_form(texts, form, **yours),
                support_form(texts, form, said="s" * 5000, email=email),
                support_form(texts, form, words="w" * 5000, **yours),
            ):
                assert check_view(shown.to_dict(), "modal") == []
                assert len(shown.to_dict()["blocks"][0]["element"].get("initial_value", "")) <= LONGEST_WORDS
    for n, link in ((1, None), (2, None), (1, LINK)):
        view = notice(texts, sent(texts, replace(ENTRY, n=n), SUPPORT, link))
        assert check_view(view.to_dict(), "modal") == []


@pytest.mark.parametrize("language", languages())
def test_slack_takes_every_message_in_every_language(language: str) -> None:
    for said, blocks in messages(texts_for(language)):
        assert check_blocks([block.to_dict() for block in blocks], "message") == []
        assert blocks[0].to_dict()["text"]["text"] == said
        assert 0 < len(said) < 3000
        assert "{" not in said
        assert "<b>" not in said
