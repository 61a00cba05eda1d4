"""Who may ask and who may answer, against plain bookkeeping: any order of answers, owners, limits and time."""

import itertools
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bot.accounts.model import Account, NotFullMember, NotOwner, NotPaid, Person, Plan, Standing, Workspace
from bot.errors import Refusal
from bot.money import Usd
from bot.purchases.asking.model import (
    ENDS_AFTER,
    LONGEST_REASON,
    Answered,
    MayBuy,
    OwnRequest,
    Request,
    State,
    approve,
    decline,
    expire,
    in_own_words,
    may_answer,
    may_ask,
)

from ..conftest import examples

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
PEOPLE = ("U1", "U2", "U3")
ACME = Account("acme", "Acme Labs", Plan.ADVANCED, Workspace("", "T1"), frozenset({"U1", "U2"}))

people = st.sampled_from(PEOPLE)
amounts = st.integers(1, 3).map(Usd.dollars)
limits = st.sampled_from([Usd.dollars(1), Usd.dollars(1), Usd.dollars(1), Usd.dollars(2), None])
owners = st.sampled_from([*map(frozenset, itertools.combinations(PEOPLE, 2)), frozenset({"U1"}), frozenset(PEOPLE)])


def request(asker: str, amount: Usd, *, owner: bool = False) -> Request:
    return Request(
        id="req_1",
        nonce="n",
        account_id="acme",
        asker_id=asker,
        locale=None,
        asked=amount,
        amount=amount,
        reason="because",
        told={},
        created_at=NOON,
        ends_at=NOON + ENDS_AFTER,
        first_by=asker if owner else None,
    )


class Answers(RuleBasedStateMachine):
    """One request. Who agreed to how much is written down beside it, and judged by that alone."""

    @initialize(asker=people, amount=amounts, owners=owners, limit=limits)
    def ask(self, asker: str, amount: Usd, owners: frozenset[str], limit: Usd | None) -> None:
        self.now, self.owners, self.limit = NOON, owners, limit
        self.request = request(asker, amount, owner=asker in owners)
        self.agreed = {asker: amount} if asker in owners else {}
        self.ended = False
        self.steps = 0

    @invariant()
    def goes_on(self) -> None:
        self.steps += 1

    @rule(owners=owners)
    def owners_change(self, owners: frozenset[str]) -> None:
        self.owners = owners

    @rule(limit=limits)
    def limit_changes(self, limit: Usd | None) -> None:
        self.limit = limit

    @rule(hours=st.sampled_from([1, 1, 12, 40]))
    def time_goes_by(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        if after := expire(self.request, self.now):
            assert self.now - NOON >= timedelta(hours=72)
            assert self.request.state is State.OPEN
            self.end(after)

    @rule(person=people, changed=st.sampled_from([None, None, Usd.dollars(1), Usd.dollars(2), Usd.dollars(3)]))
    def says_yes(self, person: str, changed: Usd | None) -> None:
        amount = changed or self.request.amount
        account = replace(ACME, owners=self.owners)
        try:
            may_answer(account, person, Person(person, Standing.MEMBER))
            after = approve(self.request, account, person, amount, self.limit, self.now)
        except Refusal as refusal:
            return self.refused(person, amount, refusal)
        assert person in self.owners
        if after.state is State.OPEN:
            assert self.takes_two(amount)
            assert not self.others_who_agreed(person, amount)
            assert after.first_by == person
            self.agreed = {person: amount}
            self.request = after
            return
        assert (after.decided_by, after.amount) == (person, amount)
        if self.takes_two(amount):
            assert person != self.request.asker_id
            assert self.others_who_agreed(person, amount)
        self.end(after)

    @precondition(lambda self: self.steps > 10)
    @rule(person=people)
    def says_no(self, person: str) -> None:
        try:
            may_answer(replace(ACME, owners=self.owners), person, Person(person, Standing.MEMBER))
            after = decline(self.request, person, self.now)
        except Refusal:
            assert self.ended or person not in self.owners
            return
        assert person in self.owners
        assert after.decided_by == person
        self.end(after)

    def refused(self, person: str, amount: Usd, refusal: Refusal) -> None:
        """Everybody is refused for one of these reasons, and for no other."""
        if self.ended:
            assert isinstance(refusal, Answered | NotOwner)
        elif person in self.owners:
            assert self.takes_two(amount)
            assert person == self.request.asker_id or person in self.agreed or amount > self.request.amount

    def end(self, after: Request) -> None:
        assert not self.ended, "decided twice"
        assert after.state is not State.OPEN
        assert self.now - NOON < timedelta(hours=72) or after.state is State.EXPIRED
        self.request, self.ended = after, True

    def takes_two(self, amount: Usd) -> bool:
        return self.limit is not None and amount.cents > self.limit.cents and len(self.owners) >= 2

    def others_who_agreed(self, person: str, amount: Usd) -> set[str]:
        return {each for each, yes in self.agreed.items() if each != person and each in self.owners and yes >= amount}


def test_a_request_is_decided_once_in_time_and_above_the_limit_by_two_owners() -> None:
    run_state_machine_as_test(Answers, settings=settings(max_examples=examples(200), stateful_step_count=15))


def test_the_yes_of_an_owner_who_is_none_any_more_does_not_count() -> None:
    first = approve(request("U3", Usd(900)), ACME, "U1", Usd(900), Usd(500), NOON)
    assert (first.state, first.first_by) == (State.OPEN, "U1")
    without_her = replace(ACME, owners=frozenset({"U2", "U4"}))

    again = approve(first, without_her, "U2", Usd(900), Usd(500), NOON)

    assert (again.state, again.first_by) == (State.OPEN, "U2")
    assert approve(again, without_her, "U4", Usd(900), Usd(500), NOON).state is State.APPROVED


def test_nobody_approves_their_own_request_above_the_limit() -> None:
    """Not even somebody who became an owner after asking."""
    mine = request("U1", Usd(900))
    for asked in (mine, replace(mine, first_by="U2")):
        with pytest.raises(OwnRequest):
            approve(asked, ACME, "U1", Usd(900), Usd(500), NOON)
    assert approve(mine, ACME, "U1", Usd(400), Usd(500), NOON).state is State.APPROVED


@pytest.mark.parametrize(
    ("account", "user", "standing", "refusal"),
    [
        (ACME, "U3", Standing.GUEST, NotFullMember),
        (ACME, "U3", Standing.STRANGER, NotFullMember),
        (ACME, "U3", Standing.BOT, NotFullMember),
        (ACME, "U3", Standing.DEACTIVATED, NotFullMember),
        (replace(ACME, plan=Plan.FREE_TRIAL), "U3", Standing.MEMBER, NotPaid),
        (replace(ACME, owners=frozenset()), "U3", Standing.MEMBER, NotOwner),
        (ACME, "U1", Standing.MEMBER, MayBuy),
        (replace(ACME, owners=frozenset({"U1"})), "U1", Standing.MEMBER, MayBuy),
    ],
)
def test_who_may_not_ask(account: Account, user: str, standing: Standing, refusal: type[Refusal]) -> None:
    with pytest.raises(refusal):
        may_ask(account, user, Person(user, standing))


def test_an_owner_asks_for_what_takes_two_and_nothing_else() -> None:
    anna = Person("U1", Standing.MEMBER)
    assert may_ask(ACME, "U1", anna, Usd(500), Usd(501)) is ACME
    for account, limit in ((ACME, Usd(501)), (ACME, None), (replace(ACME, owners=frozenset({"U1"})), Usd(500))):
        with pytest.raises(MayBuy):
            may_ask(account, "U1", anna, limit, Usd(501))


@given(st.text())
def test_a_reason_is_kept_as_it_was_written_and_a_database_takes_it(typed: str) -> None:
    kept = in_own_words(typed)
    assert len(kept) <= LONGEST_REASON
    assert "\0" not in kept.encode("utf-8").decode()
    if set(typed) <= set(string.ascii_letters + " "):
        assert kept == typed.strip()


def test_nobody_reads_a_card_number_in_a_reason() -> None:
    assert in_own_words("my card is 4242 4242 4242 4242, please") == "my card is [card number], please"
