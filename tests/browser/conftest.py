"""One browser for all stories, and one sandbox for those of a module."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from .window import CHROMIUM, PATIENCE, Window, looking_at, running_sandbox

QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """One sandbox for all stories: each brings its own card and amounts, and counts from the balance it finds."""
    async with running_sandbox(tmp_path_factory.mktemp("sandbox")) as address:
        yield address


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def tab(address: str, browser: Browser) -> AsyncIterator[Window]:
    async with looking_at(address, browser) as window:
        yield window


@pytest_asyncio.fixture(loop_scope="session")
async def window(address: str, tab: Window) -> AsyncIterator[Window]:
    """The same tab for all stories, where each begins anew."""
    await tab.open(address)
    yield tab
    await tab.page.keyboard.press("Escape")  # Slack remembers an open form
    await expect(tab.form).to_have_count(0)
    assert tab.complaints == []
