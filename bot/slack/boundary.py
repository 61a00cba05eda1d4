"""The boundary round every listener: nothing escapes into Bolt, and whoever pressed something hears back.

A ``Refusal`` becomes its sentence, an ``Outage`` an honest "nothing is lost", and a bug a reference that is logged and
shown. The answer goes where the person looks: the form's field, the form, or an ephemeral message; but for a field it
carries a button that leads to support.
"""

import logging
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.blocks import ActionsBlock, Block, SectionBlock
from slack_sdk.models.views import View

from bot.clockwork import Crew
from bot.errors import Outage, Refusal
from bot.slack import mrkdwn, names
from bot.slack.buttons import ask_the_owner, contact_support
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import sender
from bot.text import Texts

logger = logging.getLogger(__name__)

Listener = Callable[[AsyncArgs], Awaitable[None]]


class Boundary:
    """Wraps listeners. ``texts_of`` gives a person's language; ``crew`` does what need not precede the ack."""

    def __init__(self, texts_of: Callable[[str], Texts], crew: Crew, support_email: str) -> None:
        self._texts_of = texts_of
        self._crew = crew
        self._support = support_email

    def later(self, listener: Listener) -> Listener:
        """Acknowledge first, then do the work beside Bolt: Slack waits three seconds, and Bolt's loop for nobody."""

        async def wrapped(args: AsyncArgs) -> None:
            await args.ack()
            self.beside(listener, args)

        return wrapped

    def now(self, listener: Listener) -> Listener:
        """The listener acknowledges by itself, with what the person is to see: for forms."""

        async def wrapped(args: AsyncArgs) -> None:
            await self._guarded(listener, args)

        return wrapped

    def beside(self, listener: Listener, args: AsyncArgs) -> None:
        """Go on with ``listener`` after the acknowledgement."""
        self._crew.start(self._guarded(listener, args))

    async def _guarded(self, listener: Listener, args: AsyncArgs) -> None:
        try:
            await listener(args)
        except Refusal as refusal:
            logger.info("refused: %s", refusal.key, extra={"facts": str(refusal.facts)})
            about = f"refusal:{refusal.key}"
            await self._answer(args, self.sentence(refusal, args), about, refusal.field, refusal.ask_for)
        except Outage as outage:
            logger.warning("outage: %s", outage)
            sentence = self._texts(args)("error.outage", service=outage.service)
            await self._answer(args, sentence, f"outage:{outage.service}")
        except Exception:
            reference = secrets.token_hex(4)
            logger.exception("listener failed", extra={"reference": reference})
            sentence = self._texts(args)("error.bug", reference=reference, support=self._support)
            await self._answer(args, sentence, f"bug:{reference}")

    def sentence(self, refusal: Refusal, args: AsyncArgs) -> str:
        facts = {name: mrkdwn.fact(value) for name, value in refusal.facts.items()}
        return self._texts(args)(refusal.key, support=self._support, **facts)

    def _texts(self, args: AsyncArgs) -> Texts:
        return self._texts_of(sender(args.body).user_id)

    async def _answer(
        self, args: AsyncArgs, sentence: str, about: str, field: str | None = None, ask_for: str | None = None
    ) -> None:
        """Say it where the person looks. What cannot be said any more is logged; nothing hangs on it."""
        try:
            await self._say(args, sentence, about, field, ask_for)
        except (SlackRefused, Outage, aiohttp.ClientError, OSError, ValueError) as error:
            logger.warning("an answer could not be given: %s", error)

    async def _say(self, args: AsyncArgs, sentence: str, about: str, field: str | None, ask_for: str | None) -> None:
        texts = self._texts(args)
        if args.body.get("type") == "view_submission":
            block = field and _block_of(args.body["view"], field)
            if block:
                await args.ack(response_action="errors", errors={block: sentence})
            else:
                await args.ack(response_action="update", view=notice(texts, sentence, about, ask_for))
        elif args.body.get("response_url"):
            blocks = with_support(texts, sentence, about, ask_for)
            await args.respond(text=sentence, blocks=blocks, response_type="ephemeral", replace_original=False)
        elif args.body.get("type") == "block_actions" and args.body.get("view", {}).get("type") == "modal":
            view = notice(texts, sentence, about, ask_for)
            await ask(args.client.views_push(trigger_id=args.body["trigger_id"], view=view))
        elif args.body.get("trigger_id"):
            view = notice(texts, sentence, about, ask_for)
            await ask(args.client.views_open(trigger_id=args.body["trigger_id"], view=view))


def with_support(texts: Texts, sentence: str, about: str, ask_for: str | None = None) -> list[Block]:
    """The sentence, and below it the way to a person who helps: support or, where that is a way, an owner.

    ``about`` as in ``contact_support``, ``ask_for`` as in ``ask_the_owner``.
    """
    owner = [] if ask_for is None else [ask_the_owner(texts, ask_for)]
    return [SectionBlock(text=sentence), ActionsBlock(elements=[*owner, contact_support(texts, about, sentence)])]


def notice(texts: Texts, sentence: str, about: str | None = None, ask_for: str | None = None) -> View:
    """A form that only says something; what says that something went wrong also says what it is ``about``."""
    return View(
        type="modal",
        callback_id=names.NOTICE,
        title=texts("app.name"),
        close=texts("form.close"),
        blocks=with_support(texts, sentence, about, ask_for) if about else [SectionBlock(text=sentence)],
    )


def _block_of(view: dict[str, Any], action_id: str) -> str | None:
    """The block that holds an input, by the input's own name."""
    for block in view["blocks"]:
        if block["type"] == "input" and block["element"]["action_id"] == action_id:
            found: str = block["block_id"]
            return found
    return None
