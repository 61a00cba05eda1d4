"""A browser on the sandbox's page, used as a person uses it."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Frame, Locator, Page, Request, Route, expect

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
NONE_HERE = f"none of {', '.join(NAMES)} is on this machine"
PATIENCE = 15_000  # milliseconds; a machine that tests may be busy with other things
HERE = re.compile(r"(http://127\.0\.0\.1:\d+/|data:)")


@dataclass
class Window:
    """The sandbox's page as a person uses it, or one of two sides of it, and what its browser complained about."""

    page: Page | Frame
    complaints: list[str] = field(default_factory=list)

    @property
    def form(self) -> Locator:
        return self.page.get_by_role("dialog")

    @property
    def amount(self) -> Locator:
        return self.form.get_by_role("textbox")

    @property
    def conversation(self) -> Locator:
        return self.page.get_by_test_id("conversation")

    @property
    def studio(self) -> Locator:
        return self.page.get_by_test_id("studio")

    @property
    def newest(self) -> Locator:
        return self.page.get_by_test_id("message").last

    async def open(self, address: str) -> None:
        """Look at the sandbox as Anna in #ai-credits."""
        assert isinstance(self.page, Page)
        await self.page.goto(address)
        await self.page.get_by_test_id("connected").wait_for()

    async def side_by_side(self) -> tuple["Window", "Window"]:
        """Show somebody else next to the person who looks: the two windows."""
        await self.page.get_by_test_id("beside").click()
        sides = [await self.page.wait_for_selector(f"iframe[name={name}]") for name in ("left", "right")]
        left, right = [Window(frame) for side in sides if (frame := await side.content_frame())]
        for window in (left, right):
            await window.page.get_by_test_id("composer").wait_for()
        return left, right

    async def speak(self, language: str) -> None:
        """Change the language of the person who looks."""
        await self.page.get_by_test_id("language").select_option(label=language)

    async def become(self, name: str) -> None:
        await self.page.get_by_test_id("person").filter(has_text=name).click()
        await expect(self.page.locator(".person.current")).to_contain_text(name)

    async def go(self, name: str) -> None:
        await self.page.get_by_test_id("channel").filter(has_text=re.compile(rf"^\s*{name}\b")).click()
        await expect(self.page.get_by_role("heading", level=1)).to_have_text(name)

    async def say(self, text: str) -> None:
        composer = self.page.get_by_test_id("composer")
        await composer.fill(text)
        await composer.press("Enter")

    async def ask_to_buy(self, text: str) -> None:
        """Open the form by the command and wait until it says how it will be paid."""
        await self.say(f"/buy-credits {text}")
        await self.form.get_by_text(re.compile("Pay with|Stripe’s page|Betal med")).first.wait_for()

    async def press(self, name: str) -> None:
        await self.form.get_by_role("button", name=name, exact=True).last.click()

    async def close(self, name: str = "Close") -> None:
        await self.press(name)
        await expect(self.form).to_have_count(0)

    async def buy(self, amount: str, *, submit: str = "Buy", close: str = "Close") -> None:
        """Buy by the saved card, from the command to the closed form."""
        await self.ask_to_buy(amount)
        await self.press(submit)
        await self.form.get_by_role("link").wait_for()  # the receipt
        await self.close(close)

    async def use(self, model: str, work: str, *, account: str = "Acme Labs") -> None:
        """Let GenStudio use a model, and wait until the bot has answered it."""
        answers = self.studio.get_by_test_id("answer")
        before = await answers.get_attribute("data-key") if await answers.count() else ""
        await self.studio.get_by_label("Account").select_option(label=account)
        await self.studio.get_by_label("Model").select_option(label=model)
        await self.studio.get_by_label("Work").select_option(work)
        await self.studio.get_by_role("button", name="Use").click()
        await expect(answers).not_to_have_attribute("data-key", before or "")

    async def wind(self, step: str) -> None:
        """Wind the clock forward by ``1 minute``, ``1 hour``, ``1 day`` or ``30 days``."""
        await self.page.get_by_role("button", name=f"Wind forward {step}").click()

    async def save_card(self, name: str) -> None:
        """Change the card that Acme Labs has saved, by the switch in the panel."""
        await self.page.get_by_label("Saved card of Acme Labs").select_option(name)

    @asynccontextmanager
    async def following(self, link: Locator) -> AsyncIterator[Page]:
        """Click a link that opens a new tab, look at it, and close it again."""
        async with self.page.context.expect_page() as opened:
            await link.click()
        tab = await opened.value
        await tab.wait_for_load_state()
        yield tab
        await tab.close()

    @asynccontextmanager
    async def cut_off(self) -> AsyncIterator[None]:
        """A while in which the sandbox answers nothing: the browser complains of it, and rightly so."""
        assert self.complaints == []
        await self.page.context.route("**/*", lambda route: route.abort())
        yield
        await self.page.context.unroute_all()
        assert all("net::ERR_FAILED" in each for each in self.complaints)
        self.complaints.clear()

    @asynccontextmanager
    async def answering_late(self, act: str) -> AsyncIterator[None]:
        """A while in which the sandbox does not yet hear of an act."""
        over = asyncio.Event()

        async def wait(route: Route) -> None:
            await over.wait()
            await route.continue_()

        await self.page.context.route(f"**/do/{act}", wait)
        try:
            yield
        finally:
            over.set()
            await self.page.context.unroute_all(behavior="wait")

    async def balance(self) -> float:
        return float((await self._balance.inner_text()).replace(",", ""))

    async def has_balance(self, credits: float) -> None:
        await expect(self._balance).to_have_text(f"{credits:,.2f}")

    @property
    def _balance(self) -> Locator:
        return self.page.locator("[data-account='Acme Labs']").get_by_test_id("balance")

    def purchase(self, amount: str) -> Locator:
        """The newest purchase of this amount in the panel."""
        return self.page.get_by_test_id("purchase").filter(has_text=amount).first


@asynccontextmanager
async def running_sandbox(folder: Path) -> AsyncIterator[str]:
    """The sandbox as people start it; its address. It must end when it is asked to, and have had nothing to report."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "sandbox", "--port", "0"),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    said = (await process.stdout.readline()).decode()
    assert said, (await process.stderr.read()).decode()
    try:
        yield said.split(": ")[1].split()[0]
    finally:
        process.terminate()
        _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, errors.decode()) == (0, "")


@asynccontextmanager
async def looking_at(address: str, browser: Browser, *, width: int = 1440, height: int = 900) -> AsyncIterator[Window]:
    """A new window on the sandbox, as Anna in #ai-credits. Nothing may go wrong in it or be loaded from elsewhere."""
    context = await browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
    context.set_default_timeout(PATIENCE)
    window = Window(await context.new_page())
    listen(context, window.complaints)
    await window.open(address)
    yield window
    await context.close()
    assert window.complaints == []


def listen(context: BrowserContext, complaints: list[str]) -> None:
    def stay_here(asked: Request) -> None:
        if not HERE.match(asked.url):
            complaints.append(f"asked elsewhere: {asked.url}")

    context.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    context.on("request", stay_here)


async def photograph(window: Window, picture: Path, folder: Path) -> None:
    """Take a picture for the README: into ``folder``, or where the README finds it if UPDATE_SCREENSHOTS is set."""
    file = picture if os.environ.get("UPDATE_SCREENSHOTS") else folder / picture.name
    await window.page.mouse.move(1, 1)
    await window.page.screenshot(path=file, animations="disabled")
    taken, size = file.read_bytes(), window.page.viewport_size
    assert size is not None
    assert taken.startswith(b"\x89PNG")
    assert (int.from_bytes(taken[16:20]), int.from_bytes(taken[20:24])) == (size["width"], size["height"])
    assert len(taken) > 50_000
