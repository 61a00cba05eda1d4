"""Whole worlds in virtual time, one for each seed. SIMULATED_WORLDS=5000 plays more of them.

A world that goes wrong prints its seed, what was drawn for it and everything that happened. The same seed does the
same again.
"""

import os
from pathlib import Path

import pytest

from .running import make_template, tell

WORLDS = int(os.environ.get("SIMULATED_WORLDS", "20"))
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
    first, again = tell(11, tmp_path, template), tell(11, tmp_path, template)

    assert any("trouble" in line for line in first.trace)
    assert first == again
