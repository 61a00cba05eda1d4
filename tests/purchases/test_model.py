"""The rules of a purchase: every state against every outcome, in every order."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.accounts.model import Workspace
from bot.money import GREATEST, LEAST, Usd
from bot.payments.gateway import (
    Cancelled,
    Declined,
    Expired,
    NeedsBuyer,
    Open,
    Outcome,
    Paid,
    Processing,
    Reversal,
    Unconfirmed,
)
from bot.purchases.model import (
    CREDITED,
    FARTHEST_LOOK,
    LIVE,
    LOST,
    UNPAID,
    PayWith,
    Purchase,
    Status,
    TooLittle,
    TooMuch,
    after_reversals,
    check_amount,
    next_look,
    verdict,
)

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
PRICE = Usd.dollars(25)
PAID = Paid("pi_1", PRICE, "usd", "https://receipt", NOON)
OUTCOMES: list[Outcome] = [
    PAID,
    replace(PAID, amount=Usd(2499)),
    replace(PAID, currency="eur"),
    Unconfirmed("pi_1"),
    Declined("insufficient_funds"),
    NeedsBuyer(),
    Processing("pi_1"),
    Open(),
    Cancelled(),
    Expired(),
]
ENDED = set(Status) - LIVE

statuses = st.sampled_from(Status)
outcomes = st.sampled_from(OUTCOMES)


def purchase(status: Status, *, cancelled_by: str | None = None, failures: int = 0) -> Purchase:
    return Purchase(
        id="pur_1",
        nonce="n",
        account_id="acme",
        workspace=Workspace("", "T1"),
        buyer_id="U1",
        locale=None,
        amount=PRICE,
        status=status,
        pay_with=PayWith.CARD,
        created_at=NOON,
        updated_at=NOON,
        check_at=NOON,
        cancelled_by=cancelled_by,
        failures=failures,
    )


def after(start: Purchase, told: Sequence[Outcome]) -> Purchase:
    """The purchase after these outcomes, one after the other, as the service writes them down."""
    for outcome in told:
        if decided := verdict(start, outcome):
            start = replace(
                start, status=decided.status, reason=decided.reason, intent_id=decided.intent_id or start.intent_id
            )
    return start


# ── what an outcome makes of it ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", sorted(UNPAID))
def test_money_that_arrived_always_counts(status: Status) -> None:
    """Also for a purchase that was given up: whoever paid has credits."""
    decided = verdict(purchase(status), PAID)
    assert decided is not None
    assert (decided.status, decided.intent_id, decided.receipt_url) == (Status.SETTLED, "pi_1", "https://receipt")


@pytest.mark.parametrize("status", sorted(UNPAID))
@pytest.mark.parametrize(
    "odd",
    [replace(PAID, amount=Usd(2499)), replace(PAID, amount=Usd(2501)), replace(PAID, currency="eur")],
    ids=["less", "more", "another currency"],
)
def test_money_that_was_not_asked_is_put_aside_for_a_person(status: Status, odd: Paid) -> None:
    decided = verdict(purchase(status), odd)
    assert decided is not None
    assert decided.status is Status.QUARANTINED
    assert str(odd.amount) in str(decided.note)


@pytest.mark.parametrize("status", sorted(ENDED))
@pytest.mark.parametrize("outcome", [each for each in OUTCOMES if not isinstance(each, Paid)], ids=repr)
def test_what_has_ended_never_comes_alive_again(status: Status, outcome: Outcome) -> None:
    assert verdict(purchase(status), outcome) is None


@pytest.mark.parametrize("status", sorted({*CREDITED, Status.QUARANTINED}))
@pytest.mark.parametrize("outcome", OUTCOMES, ids=repr)
def test_what_is_paid_stays_as_it_is_whatever_is_said_later(status: Status, outcome: Outcome) -> None:
    assert verdict(purchase(status), outcome) is None


@pytest.mark.parametrize("status", sorted(LIVE))
@pytest.mark.parametrize("outcome", [Unconfirmed("pi_1"), NeedsBuyer(), Open()], ids=repr)
def test_what_waits_for_somebody_goes_on_waiting(status: Status, outcome: Outcome) -> None:
    if (status, outcome) != (Status.PROCESSING, NeedsBuyer()):
        assert verdict(purchase(status), outcome) is None


def test_a_bank_that_wants_the_buyer_after_all_has_said_no() -> None:
    decided = verdict(purchase(Status.PROCESSING), NeedsBuyer())
    assert decided is not None
    assert (decided.status, decided.reason) == (Status.DECLINED, "card_declined")


@pytest.mark.parametrize("status", sorted(LIVE))
def test_a_no_ends_it_and_keeps_the_reason(status: Status) -> None:
    decided = verdict(purchase(status), Declined("expired_card"))
    assert decided is not None
    assert (decided.status, decided.reason) == (Status.DECLINED, "expired_card")


@pytest.mark.parametrize(
    ("outcome", "cancelled_by", "end"),
    [
        (Expired(), None, Status.EXPIRED),
        (Expired(), "U1", Status.CANCELLED),
        (Cancelled(), None, Status.CANCELLED),
        (Cancelled(), "U1", Status.CANCELLED),
    ],
)
def test_a_page_that_closed_was_given_up_or_forgotten(outcome: Outcome, cancelled_by: str | None, end: Status) -> None:
    decided = verdict(purchase(Status.CHECKOUT, cancelled_by=cancelled_by), outcome)
    assert decided is not None
    assert decided.status is end


def test_every_state_is_alive_or_has_ended_and_only_paid_ones_are_credited() -> None:
    assert set(Status) == UNPAID | CREDITED | {Status.QUARANTINED}
    assert not UNPAID & CREDITED
    assert LIVE < UNPAID


@given(statuses, st.lists(outcomes, max_size=8), outcomes)
@example(Status.PROCESSING, [], Processing("pi_1"))
def test_hearing_the_same_twice_changes_nothing_more(status: Status, before: list[Outcome], outcome: Outcome) -> None:
    once = after(purchase(status), [*before, outcome])
    assert verdict(once, outcome) is None


@given(statuses, st.lists(outcomes, max_size=8))
def test_once_ended_it_is_only_ever_paid_and_then_never_anything_else(status: Status, told: list[Outcome]) -> None:
    stands = purchase(status)
    for outcome in told:
        next_one = after(stands, [outcome])
        if stands.status in ENDED and next_one.status is not stands.status:
            assert isinstance(outcome, Paid)
            assert next_one.status in (Status.SETTLED, Status.QUARANTINED)
        if stands.status not in UNPAID:
            assert next_one == stands
        stands = next_one


@given(st.sampled_from(sorted(LIVE)), st.lists(outcomes.filter(lambda each: not isinstance(each, Paid)), max_size=6))
def test_a_payment_settles_it_in_whatever_order_the_news_come(status: Status, others: list[Outcome]) -> None:
    for place in range(len(others) + 1):
        told = [*others[:place], PAID, *others[place:]]
        assert after(purchase(status), told).status is Status.SETTLED


# ── what went back ────────────────────────────────────────────────────────────────────────────────────────────────


def refund(cents: int, id: str = "re_1") -> Reversal:
    return Reversal(id, "refund", Usd(cents), open=False, at=NOON)


def dispute(cents: int, *, open: bool) -> Reversal:
    return Reversal("du_1", "dispute", Usd(cents), open=open, at=NOON)


@pytest.mark.parametrize(
    ("reversals", "status", "gone", "reason"),
    [
        ([], Status.SETTLED, 0, None),
        ([refund(500)], Status.REFUNDED, 500, None),
        ([refund(500), refund(700, "re_2")], Status.REFUNDED, 1200, None),
        ([refund(0)], Status.SETTLED, 0, None),
        ([dispute(2500, open=True)], Status.DISPUTED, 2500, None),
        ([dispute(0, open=True)], Status.DISPUTED, 0, None),
        ([dispute(2500, open=False)], Status.DISPUTED, 2500, LOST),
        ([dispute(0, open=False)], Status.SETTLED, 0, None),
        ([refund(500), dispute(2000, open=True)], Status.DISPUTED, 2500, None),
        ([refund(500), dispute(2000, open=False)], Status.DISPUTED, 2500, LOST),
        ([refund(500), dispute(0, open=False)], Status.REFUNDED, 500, None),
    ],
)
def test_refunds_and_disputes_add_up_in_every_order(
    reversals: list[Reversal], status: Status, gone: int, reason: str | None
) -> None:
    for order in permutations(reversals):
        assert after_reversals(order) == (status, Usd(gone), reason)


# ── amounts, and when to ask again ────────────────────────────────────────────────────────────────────────────────


@given(st.integers(LEAST.cents, GREATEST.cents).map(Usd))
def test_what_is_within_the_limits_can_be_bought(amount: Usd) -> None:
    check_amount(amount)


@pytest.mark.parametrize(
    ("cents", "why"), [(0, TooLittle), (99, TooLittle), (10_000_001, TooMuch), (10**15, TooMuch), (-100, TooLittle)]
)
def test_what_is_outside_cannot_and_both_limits_are_told(cents: int, why: type[TooLittle | TooMuch]) -> None:
    with pytest.raises(why) as refused:
        check_amount(Usd(cents))
    assert refused.value.facts == {"least": LEAST, "greatest": GREATEST}
    assert refused.value.field == "amount"


@given(statuses, st.integers(0, 10_000), st.timedeltas(timedelta(0), timedelta(days=60)))
def test_it_is_always_asked_about_again_and_not_all_the_time(status: Status, failures: int, age: timedelta) -> None:
    wait = next_look(purchase(status, failures=failures), NOON + age)
    assert timedelta(seconds=2) <= wait <= FARTHEST_LOOK


@pytest.mark.parametrize("status", sorted(LIVE))
def test_a_fresh_one_is_asked_about_twice_a_minute_at_least(status: Status) -> None:
    assert next_look(purchase(status), NOON + timedelta(minutes=5)) <= timedelta(seconds=30)


def test_unheard_answers_make_it_patient() -> None:
    waits = [next_look(purchase(Status.CHARGING, failures=n), NOON).total_seconds() for n in range(1, 11)]
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
