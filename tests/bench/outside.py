"""A process of its own for the sandbox's Slack and Stripe, so that they take no time from the bot that is measured.

Started with a folder, it prints what a bot must know to work in this world, and serves what the measurements ask for.
"""

import asyncio
import json
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.accounts import store as accounts
from bot.db.engine import Database
from bot.db.migrate import upgrade
from bot.sandbox.slack import payloads
from bot.sandbox.slack.state import SlackError
from bot.sandbox.world import OWNER, STRIPE_KEY, World
from bot.slack import names
from bot.slack.manifest import manifest
from bot.web.server import Server


async def serve(folder: Path) -> None:
    async with World.open(folder) as world:
        world.slack.install(yaml.safe_load(manifest()))
        await _populate(world)
        ears = Server(_Ears(world).app)
        await ears.start()
        told = {"ears": ears.url, "signing_secret": world.slack.signing_secret, "environment": _environment(world)}
        print(json.dumps(told), flush=True)
        await asyncio.to_thread(sys.stdin.read)  # until whoever started us is gone
        await ears.stop()


class _Ears:
    """What the measurements ask of this world."""

    def __init__(self, world: World) -> None:
        self._slack = world.slack
        self.app = Starlette(
            routes=[
                Route("/commands/{n:int}", self._commands),
                Route("/opened", self._opened, methods=["POST"]),
                Route("/form", self._form),
            ]
        )

    async def _commands(self, request: Request) -> Response:
        """So many ``/buy-credits``, ready to be sent, with the trigger of each."""
        slack = self._slack
        person, place = slack.people[OWNER], slack.channel_named("ai-credits")
        typed = [payloads.command(slack, person, place, names.BUY_COMMAND, "") for _ in range(request.path_params["n"])]
        return JSONResponse([{"trigger": one["trigger_id"], "body": urlencode(one)} for one in typed])

    async def _opened(self, request: Request) -> Response:
        """How many of these triggers have opened a form."""
        return JSONResponse(sum(map(self._has_opened, await request.json())))

    def _has_opened(self, trigger_id: str) -> bool:
        try:
            self._slack.trigger(trigger_id)
        except SlackError as gone:
            return gone.code == "exchanged_trigger_id"
        return False

    async def _form(self, request: Request) -> Response:
        """The form that the owner has before them, as the bot sent it."""
        form = self._slack.modal(OWNER)
        return JSONResponse(form.view if form else None)


async def _populate(world: World) -> None:
    database = Database(world.settings().database_url)
    await upgrade(database)
    for account in world.accounts(customer=world.add_customer()):
        await database.write(partial(accounts.add, account=account, at=world.clock.now()))
    await database.dispose()


def _environment(world: World) -> dict[str, str]:
    return {
        "SLACK_BOT_TOKEN": world.slack.bot_token,
        "SLACK_SIGNING_SECRET": world.slack.signing_secret,
        "SLACK_API_URL": f"{world.slack.base_url}/api/",
        "STRIPE_API_KEY": STRIPE_KEY,
        "STRIPE_API_URL": world.stripe.base_url,
        "DATABASE_URL": f"sqlite:///{world.folder / 'credits.db'}",
    }


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
