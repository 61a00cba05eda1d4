"""The sandbox as a program: the tour in the terminal, the page without a browser, and why it could not start."""

import asyncio
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.sandbox import run
from bot.sandbox.books import Books
from bot.sandbox.genstudio import Model, Work
from bot.sandbox.world import ACCOUNT, OWNER, World

SANDBOX = (sys.executable, "-m", "bot", "sandbox")


def test_the_tour_in_the_terminal_buys_twice_spends_and_ends_well(tmp_path: Path) -> None:
    """Also where all that leaves this machine must go through a proxy."""
    env = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    env |= dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    ran = subprocess.run([*SANDBOX, "--headless"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "Anna types /buy-credits 25 in #ai-credits",
        "  Credits: Pay $25.00 on Stripe’s page to complete your purchase. The link works for 24 hours.",
        "She pays on Stripe's page with 4242 4242 4242 4242 and lets it save the card",
        "  Credits: :white_check_mark: Paid and credited: $25.00. The new balance is *25.00* credits.",
        "She types /buy-credits 100 and presses Buy: the saved card is charged",
        "  Credits: :white_check_mark: Paid and credited: $100.00. The new balance is *125.00* credits.",
        "GenStudio, a program, uses gpt-4.1 for a long document and reports the tokens",
        "  The bot answers: 204 No Content",
        "  The books say: gpt-4.1: 180,000 tokens in, 4,000 out, 0.392 credits",
        "Charged $125.00; balance 124.608; 3 entries; books right: True",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run([*SANDBOX, "--port", port], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 1
    assert re.fullmatch(rf"Error: .*{port} \(--port chooses another\).*\n", ran.stderr)


def test_without_its_packages_the_sandbox_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['jinja2'] = None; from bot.cli import main; main(['sandbox'])"
    ran = subprocess.run([sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 1
    assert ran.stderr == "Error: jinja2 is missing: pip install -e '.[sandbox]'\n"


async def test_what_the_environment_says_of_another_bot_does_not_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async with World.open() as world:
        undisturbed = world.settings()
        for name, value in {
            "HOST": "0.0.0.0",  # the webhooks' secret here is known to everybody
            "PUBLIC_URL": "nowhere",
            "STRIPE_AUTOMATIC_TAX": "true",
            "SUPPORT_EMAIL": "somebody@acme.example",
            "LOG_LEVEL": "much",
        }.items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(tmp_path)
        (tmp_path / ".env").write_bytes(b"\xff\xfe no text")

        assert world.settings() == undisturbed
        assert undisturbed.host == "127.0.0.1"


class Visitor:
    """Somebody who uses the page without a browser."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def see(self, pattern: str) -> re.Match[str]:
        """Look at the page until it shows this."""
        async with asyncio.timeout(10), self._http.stream("GET", "/stream") as changes:
            async for _ in changes.aiter_lines():
                if found := re.search(pattern, unescape((await self._http.get("/")).text), re.DOTALL):
                    return found
        raise AssertionError(f"the page ended before it showed {pattern}")

    async def do(self, act: str, **asked: Any) -> None:
        answer = await self._http.post(f"/do/{act}", json={"as": OWNER, **asked})
        assert (answer.status_code, answer.json()) == (200, {})

    async def buy(self, amount: str) -> None:
        channel = (await self.see(r'data-channel="(C\w+)"'))[1]
        await self.do("say", channel=channel, text=f"/buy-credits {amount}")
        form = (await self.see(r'data-view="(\w+)"[^>]*>(?:(?!Looking up).)*?data-submit'))[1]
        await self.do("submit", view=form, values={})
        await self.do("close", view=form, all=True)


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    async with run.page(0) as address, httpx.AsyncClient(base_url=address, timeout=10) as http:
        yield Visitor(http)


async def test_the_page_opens_with_a_connected_bot_and_sells(visitor: Visitor) -> None:
    await visitor.see('data-testid="connected"')

    await visitor.buy("250")

    await visitor.see(r'data-status="settled">.*\$250\.00.*Anna Berg')
    await visitor.see(r'data-account="Acme Labs">.*<strong data-testid="balance">250\.00<')
    await visitor.see(r"Credits bought.*account:acme.*\+250\.00.*sales.*-250\.00")
    await visitor.see("Books balance ✓")


async def test_genstudio_spends_through_the_bots_own_endpoint(visitor: Visitor) -> None:
    await visitor.buy("250")
    await visitor.see(r'data-account="Acme Labs">.*<strong data-testid="balance">250\.00<')

    await visitor.do("use", account=ACCOUNT, model="anthropic/claude-opus-5-5", work="afternoon")
    await visitor.see(r'data-account="Acme Labs">.*<strong data-testid="balance">248\.28<')
    await visitor.see(r"claude-opus-5-5, 40 uses: 200,000 tokens in, 600,000 from cache, 40,000 out, 1\.72 credits")
    await visitor.see(r"Used in GenStudio.*account:acme.*-1\.72.*usage.*\+1\.72")

    await visitor.do("use", account=ACCOUNT, model="openai/gpt-4o-mini", work="question")
    await visitor.see(r'data-testid="balance">248\.27</strong><small>exactly 248\.27961<')
    await visitor.see("Books balance ✓")


async def test_use_that_cannot_be_booked_says_why(visitor: Visitor) -> None:
    await visitor.do("use", account="nobody", model="openai/gpt-5", work="question")
    await visitor.see(r'data-status="400".*"index":0,"reason":"there is no account nobody"')

    await visitor.do("use", account=ACCOUNT, model="unlisted/brand-new", work="question")
    await visitor.see(r'data-status="204".*1 × brand-new not booked yet: the model has no price yet')
    await visitor.see(r'data-account="Acme Labs">.*<strong data-testid="balance">0\.00<')


async def test_use_is_booked_down_to_the_overdraft_and_the_rest_waits() -> None:
    year = Work("year", "a year of work", calls=500, input=50_000, cached=0, output=10_000)  # 0.40 credits each
    async with World.open() as world, run.bot_in(world, world.accounts()) as bot:
        studio = await run.genstudio_for(world, bot)

        answer = await studio.use("trial", Model("anthropic", "claude-opus-5-5"), year)

        assert (answer.events, answer.status) == (500, 204)
        [trial] = [each for each in (await Books(bot).read()).accounts if each.name == "Tiny Trial"]
        assert trial.balance == "-100.00"
        assert trial.waiting == ["250 × claude-opus-5-5 not booked yet: it is more than the overdraft allows"]


async def test_winding_the_clock_makes_happen_what_became_due(visitor: Visitor) -> None:
    customer = (await visitor.see(r'data-wallet="(cus_\w+)"'))[1]
    await visitor.do("card", customer=customer, card="")
    await visitor.buy("40")
    await visitor.see('data-status="checkout"')

    await visitor.do("wind", seconds=86_400 + 60)

    await visitor.see(r'data-ahead="86460"')
    await visitor.see(r'data-status="expired">.*\$40\.00')
    await visitor.see("The purchase of \\$40.00 by .*was not completed. Nothing was charged.")
