"""Whole worlds in virtual time, one for each seed. SIMULATED_WORLDS=5000 plays more of them.

A world that goes wrong prints its seed, what was drawn for it and everything that happened. The same seed does the
same again.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.errors import Outage
from bot.money import Usd
from bot.payments.gateway import Reversal
from bot.payments.stripe_gateway import StripeGateway

from .loop import OWNER
from .process import Parts
from .running import make_template, tell

WORLDS = int(os.environ.get("SIMULATED_WORLDS", "10"))
TOGETHER = 10


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("worlds"))


@pytest.mark.parametrize("first", range(0, WORLDS, TOGETHER))
def test_the_invariants_hold_in_every_world(first: int, tmp_path: Path, template: Path) -> None:
    stories = [tell(seed, tmp_path, template) for seed in range(first, min(first + TOGETHER, WORLDS))]

    wrong = [story for story in stories if story.wrong]
    assert not wrong, "\n\n".join(map(str, wrong))


def test_a_seed_tells_the_same_story_again(tmp_path: Path, template: Path) -> None:
    first, again = tell(10, tmp_path, template), tell(10, tmp_path, template)

    assert any("trouble" in line for line in first.trace)
    assert first == again


class SilentOnReversals(StripeGateway):
    """Hears nothing of refunds and disputes until the troubles are over."""

    async def reversals(self, intent_id: str, bought: Usd) -> Sequence[Reversal]:
        if OWNER.get().world.troubled:
            raise Outage("Stripe", "no answer")
        return await super().reversals(intent_id, bought)


def test_a_world_does_not_end_before_a_look_that_was_put_off(tmp_path: Path, template: Path) -> None:
    stories = [tell(seed, tmp_path, template, Parts(gateway=SilentOnReversals)) for seed in (28, 49)]

    assert all("refund" in str(story) or "dispute" in str(story) for story in stories), "money goes back in each"
    wrong = [story for story in stories if any(each.startswith(("I3", "I4", "I12")) for each in story.wrong)]
    assert not wrong, "\n\n".join(map(str, wrong))
