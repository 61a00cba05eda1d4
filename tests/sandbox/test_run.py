"""The sandbox as a program: the tour in the terminal, the page without a browser, and why it could not start."""

import asyncio
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
from bot.sandbox.world import OWNER

SANDBOX = (sys.executable, "-m", "bot", "sandbox")


def test_the_tour_in_the_terminal_buys_twice_and_ends_well(tmp_path: Path) -> None:
    ran = subprocess.run([*SANDBOX, "--headless"], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "Anna types /buy-credits 25 in #ai-credits",
        "  Credits: Pay $25.00 on Stripe’s page to complete your purchase. The link works for 24 hours.",
        "She pays on Stripe's page with 4242 4242 4242 4242 and lets it save the card",
        "  Credits: :white_check_mark: Paid and credited: $25.00. The new balance is *25.00* credits.",
        "She types /buy-credits 100 and presses Buy: the saved card is charged",
        "  Credits: :white_check_mark: Paid and credited: $100.00. The new balance is *125.00* credits.",
        "Charged $125.00; balance 125.00; 2 entries; books right: True",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run([*SANDBOX, "--port", port], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 1
    assert re.fullmatch(rf"Error: .*{port}.*\n", ran.stderr)


def test_without_its_packages_the_sandbox_says_what_to_install(tmp_path: Path) -> None:
    without = "import sys; sys.modules['jinja2'] = None; from bot.cli import main; main(['sandbox'])"
    ran = subprocess.run([sys.executable, "-c", without], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 1
    assert ran.stderr == "Error: jinja2 is missing: pip install -e '.[sandbox]'\n"


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


async def test_winding_the_clock_makes_happen_what_became_due(visitor: Visitor) -> None:
    customer = (await visitor.see(r'data-wallet="(cus_\w+)"'))[1]
    await visitor.do("card", customer=customer, card="")
    await visitor.buy("40")
    await visitor.see('data-status="checkout"')

    await visitor.do("wind", seconds=86_400 + 60)

    await visitor.see(r'data-ahead="86460"')
    await visitor.see(r'data-status="expired">.*\$40\.00')
    await visitor.see("The purchase of \\$40.00 by .*was not completed. Nothing was charged.")
