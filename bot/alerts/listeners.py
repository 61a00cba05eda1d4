"""What people press on a warning, and the form in which owners set up when and where they are warned."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.models.views import View
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.accounts.model import Workspace
from bot.alerts.answers import read_settings
from bot.alerts.forms import Settings, ask_shared, settings
from bot.alerts.service import Alerts
from bot.alerts.views import chosen_snooze, test_sent, why
from bot.clockwork import at_most
from bot.errors import Outage, Refusal
from bot.slack import mrkdwn, names
from bot.slack.boundary import Boundary, notice
from bot.slack.client import SlackRefused, ask
from bot.slack.payloads import Sender, sender
from bot.text import Texts

WORDS: Final = ("alerts", "advarsler")
"""What is typed after the command to set up warnings."""

_SAVED_WITHIN: Final = 2.2  # seconds: Slack gives a form three


class NoWarning(Refusal):
    """The message is of another workspace, or its warning is not in the books."""

    key = "refusal.no_warning"


class Listeners:
    """The front door of warnings."""

    def __init__(self, alerts: Alerts, boundary: Boundary, texts_of: Callable[[str], Texts]) -> None:
        self._alerts = alerts
        self._boundary = boundary
        self._texts_of = texts_of

    def register(self, app: AsyncApp) -> None:
        boundary = self._boundary
        app.action(names.ACKNOWLEDGE_ALERT)(boundary.later(self.acknowledge))
        app.action(names.SNOOZE_ALERT)(boundary.later(self.snooze))
        app.action(names.WHY_ALERT)(boundary.later(self.why))
        app.action(names.OPEN_ALERTS_FORM)(boundary.later(self.open_form))
        app.action(names.TEST_ALERT)(boundary.later(self.send_test))
        app.view(names.ALERTS_FORM)(boundary.now(self.submit))
        app.view(names.ALERTS_SHARED_FORM)(boundary.now(self.submit_shared))

    # ── on a warning ──────────────────────────────────────────────────────────────────────────────────────────────

    async def acknowledge(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        try:
            await self._alerts.acknowledge(args.body["actions"][0]["value"], _workspace(who), who.user_id)
        except LookupError:
            raise NoWarning from None

    async def snooze(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        try:
            choice, message = chosen_snooze(args.body["actions"][0]["selected_option"]["value"])
            await self._alerts.snooze(message, _workspace(who), who.user_id, choice)
        except (LookupError, ValueError):
            raise NoWarning from None

    async def why(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        texts = self._texts_of(who.user_id)
        try:
            account, trigger, set_by = await self._alerts.why(args.body["actions"][0]["value"], _workspace(who))
        except LookupError:
            raise NoWarning from None
        if trigger is None:
            raise NoWarning
        text, blocks = why(texts, account.name, trigger, set_by)
        channel = args.body["channel"]["id"]
        await ask(args.client.chat_postEphemeral(channel=channel, user=who.user_id, text=text, blocks=blocks))

    # ── the form ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def open_form(self, args: AsyncArgs) -> None:
        """The word after the command, or a button."""
        who = sender(args.body)
        account, now = await self._alerts.settings(_workspace(who), who.user_id)
        view = settings(self._texts_of(who.user_id), account.name, now)
        await _show(args.client.views_open(trigger_id=args.body["trigger_id"], view=view))

    async def submit(self, args: AsyncArgs) -> None:
        """Save, or say what is wrong at its field; ask first about a new channel that others may read too."""
        texts, view = self._texts_of(sender(args.body).user_id), args.body["view"]
        read = read_settings(texts, view["state"]["values"])
        if isinstance(read, Settings):
            await self._save(args, texts, read, ask_first=True)
        else:
            await args.ack(response_action="errors", errors=dict(read))

    async def submit_shared(self, args: AsyncArgs) -> None:
        """Yes, send it to the others too."""
        chosen = Settings.loads(args.body["view"]["private_metadata"])
        await self._save(args, self._texts_of(sender(args.body).user_id), chosen, ask_first=False)

    async def _save(self, args: AsyncArgs, texts: Texts, chosen: Settings, *, ask_first: bool) -> None:
        who = sender(args.body)

        async def save() -> View:
            if ask_first and (question := await self._question(args, texts, chosen)):
                return question
            account = await self._alerts.set_up(_workspace(who), who.user_id, chosen)
            return notice(texts, texts("alerts.saved", account=mrkdwn.escape(account.name)))

        try:
            view = await at_most(_SAVED_WITHIN, save())
        except (Outage, TimeoutError):
            await args.ack(response_action="push", view=notice(texts, texts("alerts.busy")))
        else:
            await args.ack(response_action="update", view=view)

    async def _question(self, args: AsyncArgs, texts: Texts, chosen: Settings) -> View | None:
        """What is asked first, about channels that are new; None where nobody of another company reads them."""
        who = sender(args.body)
        _, now = await self._alerts.settings(_workspace(who), who.user_id)
        new = [channel for channel in chosen.channels if channel not in now.channels]
        told = dict(zip(new, await asyncio.gather(*(_is_shared(args, each) for each in new)), strict=True))
        shared = [each for each in new if told[each]]
        unseen = [each for each in new if told[each] is None]
        return ask_shared(texts, shared, unseen, chosen) if shared or unseen else None

    async def send_test(self, args: AsyncArgs) -> None:
        """Send a test where the saved settings say, and tell where that is."""
        who = sender(args.body)
        texts = self._texts_of(who.user_id)
        places = await self._alerts.send_test(_workspace(who), who.user_id, args.body["actions"][0]["action_ts"])
        view = notice(texts, test_sent(texts, places))
        await _show(args.client.views_push(trigger_id=args.body["trigger_id"], view=view))


def _workspace(who: Sender) -> Workspace:
    return Workspace(who.enterprise_id, who.team_id)


async def _is_shared(args: AsyncArgs, channel: str) -> bool | None:
    """Whether people of another company read the channel too. None where Slack does not let us see it."""
    try:
        answer = await ask(args.client.conversations_info(channel=channel))
    except SlackRefused:
        return None  # the scope for it is optional, and a private channel may not be for us to see
    return bool(answer["channel"].get("is_ext_shared"))


async def _show(call: Awaitable[AsyncSlackResponse]) -> None:
    """Open a form, unless this very request came before and opened it then."""
    try:
        await ask(call)
    except SlackRefused as refused:
        if refused.error != "exchanged_trigger_id":
            raise
