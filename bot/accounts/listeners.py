"""What Slack tells of people unasked: that somebody is not what they were, in another language or a guest by now."""

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.accounts.directory import SlackDirectory
from bot.accounts.model import Workspace
from bot.slack.boundary import Boundary
from bot.slack.payloads import sender


class Listeners:
    """Nobody pressed anything, so nobody is answered."""

    def __init__(self, directory: SlackDirectory, boundary: Boundary) -> None:
        self._directory = directory
        self._boundary = boundary

    def register(self, app: AsyncApp) -> None:
        app.event("user_change")(self._boundary.later(self.changed))

    async def changed(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        await self._directory.changed(Workspace(who.enterprise_id, who.team_id), who.user_id)
