"""What people press on a warning."""

from collections.abc import Callable

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.accounts.model import Workspace
from bot.alerts.service import Alerts
from bot.alerts.views import chosen_snooze, why
from bot.errors import Refusal
from bot.slack import names
from bot.slack.boundary import Boundary
from bot.slack.client import ask
from bot.slack.payloads import Sender, sender
from bot.text import Texts


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
        app.action(names.ACKNOWLEDGE_ALERT)(self._boundary.later(self.acknowledge))
        app.action(names.SNOOZE_ALERT)(self._boundary.later(self.snooze))
        app.action(names.WHY_ALERT)(self._boundary.later(self.why))

    async def acknowledge(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        try:
            await self._alerts.acknowledge(args.body["actions"][0]["value"], _workspace(who), who.user_id)
        except LookupError:
            raise NoWarning from None

    async def snooze(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        try:
            choice, episode_id = chosen_snooze(args.body["actions"][0]["selected_option"]["value"])
            await self._alerts.snooze(episode_id, _workspace(who), who.user_id, choice)
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


def _workspace(who: Sender) -> Workspace:
    return Workspace(who.enterprise_id, who.team_id)
