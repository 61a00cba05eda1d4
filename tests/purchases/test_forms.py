"""The nonce in a form: ours, this person's, of today, and nobody can make one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.accounts.model import Workspace
from bot.money import Usd
from bot.payments.gateway import Card
from bot.purchases.forms import Nonces
from bot.purchases.model import PayWith, StaleForm
from bot.purchases.views import Form

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
HOME = Workspace("E1", "T1")
NONCES = Nonces(b"secret")
SIGNED = NONCES.make(HOME, "U1", NOON)

texts = st.text(max_size=40)


def test_a_form_is_good_for_a_day() -> None:
    nonce = NONCES.check(SIGNED, HOME, "U1", NOON)
    assert NONCES.check(SIGNED, HOME, "U1", NOON + timedelta(hours=23, minutes=59)) == nonce
    with pytest.raises(StaleForm):
        NONCES.check(SIGNED, HOME, "U1", NOON + timedelta(hours=24, seconds=1))


def test_a_clock_that_was_set_back_a_little_spoils_no_form() -> None:
    assert NONCES.check(SIGNED, HOME, "U1", NOON - timedelta(hours=2))


def test_no_two_forms_share_a_nonce() -> None:
    assert len({NONCES.check(NONCES.make(HOME, "U1", NOON), HOME, "U1", NOON) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("workspace", "user"),
    [
        (HOME, "U2"),
        (Workspace("E1", "T2"), "U1"),
        (Workspace("", "T1"), "U1"),
        (Workspace("E1T1", ""), "U1"),
        (Workspace("E1", "T1U"), "1"),
    ],
)
def test_a_form_of_one_person_in_one_workspace_serves_nobody_else(workspace: Workspace, user: str) -> None:
    with pytest.raises(StaleForm):
        NONCES.check(SIGNED, workspace, user, NOON)


def test_the_secret_makes_the_difference() -> None:
    with pytest.raises(StaleForm):
        Nonces(b"another").check(SIGNED, HOME, "U1", NOON)


@given(texts)
def test_a_form_that_is_not_ours_is_refused_whatever_it_says(forged: str) -> None:
    with pytest.raises(StaleForm):
        NONCES.check(forged, HOME, "U1", NOON)


@given(st.integers(0, len(SIGNED) - 1), st.characters(codec="ascii"))
def test_not_a_letter_of_it_can_be_changed(place: int, letter: str) -> None:
    changed = SIGNED[:place] + letter + SIGNED[place + 1 :]
    if changed != SIGNED:
        with pytest.raises(StaleForm):
            NONCES.check(changed, HOME, "U1", NOON)


def test_it_cannot_be_made_younger() -> None:
    nonce, _, signature = SIGNED.rpartition(".")
    word, _, _ = nonce.rpartition(".")
    tomorrow = NOON + timedelta(days=2)
    with pytest.raises(StaleForm):
        NONCES.check(f"{word}.{int(tomorrow.timestamp())}.{signature}", HOME, "U1", tomorrow)


@given(
    texts,
    st.sampled_from(PayWith),
    st.none() | st.builds(Card, texts, texts, texts),
    st.none() | st.integers(1, 10**7).map(Usd),
)
def test_a_form_hands_back_what_it_carried(
    nonce: str, pay_with: PayWith, card: Card | None, amount: Usd | None
) -> None:
    form = Form(nonce, pay_with, card, amount)
    assert Form.loads(form.dumps()) == form


def test_what_a_form_carries_fits() -> None:
    """Slack keeps 3,000 characters."""
    card = Card("pm_" + "1" * 250, "x" * 50, "4242")
    assert len(Form(SIGNED, PayWith.CHECKOUT, card, Usd(10**7)).dumps()) < 500
