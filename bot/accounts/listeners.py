"""What Slack tells of people unasked: that somebody is not what they were, in another language or a guest by now."""

from collections.abc import Awaitable, Callable

from slack_bolt.async_app import AsyncApp
from slack_bolt.kwargs_injection.async_args import AsyncArgs

from bot.accounts.model import Workspace
from bot.slack.boundary import Boundary
from bot.slack.payloads import sender

Heed = Callable[[Workspace, str], Awaitable[None]]
"""Does what is to be done when a user of a workspace is not what they were."""


class Listeners:
    """Nobody pressed anything, so nobody is answered."""

    def __init__(self, boundary: Boundary, *heeding: Heed) -> None:
        self._boundary = boundary
        self._heeding = heeding

    def register(self, app: AsyncApp) -> None:
        app.event("user_change")(self._boundary.later(self.changed))

    async def changed(self, args: AsyncArgs) -> None:
        who = sender(args.body)
        for heed in self._heeding:
            await heed(Workspace(who.enterprise_id, who.team_id), who.user_id)
