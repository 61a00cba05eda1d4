"""The least that the bot's libraries can be started as: Bolt behind Starlette, SQLAlchemy on SQLite, a scheduler."""

import asyncio
import os

import uvicorn
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.kwargs_injection.async_args import AsyncArgs
from slack_sdk.web.async_client import AsyncWebClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FORM = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Bare"},
    "blocks": [{"type": "section", "text": {"type": "plain_text", "text": "Bare"}}],
}


async def authorize(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id, bot_token=os.environ["SLACK_BOT_TOKEN"])


async def open_form(args: AsyncArgs) -> None:
    await args.ack()
    opening = asyncio.create_task(args.client.views_open(trigger_id=args.body["trigger_id"], view=FORM))
    opening.add_done_callback(lambda done: done.result())


async def tick() -> None:
    """What a scheduler is for."""


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"].replace("sqlite:", "sqlite+aiosqlite:"))
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
    scheduler = AsyncIOScheduler(timezone="UTC")
    scheduler.add_job(tick, "interval", seconds=1)
    scheduler.start()
    app = AsyncApp(
        client=AsyncWebClient(base_url=os.environ["SLACK_API_URL"]),
        authorize=authorize,
        signing_secret=os.environ["SLACK_SIGNING_SECRET"],
        process_before_response=True,
    )
    app.command("/buy-credits")(open_form)
    handler = AsyncSlackRequestHandler(app)

    async def receive(request: Request) -> Response:
        return await handler.handle(request)

    served = Starlette(routes=[Route("/slack/events", receive, methods=["POST"])])
    config = uvicorn.Config(served, port=int(os.environ["PORT"]), http="h11", lifespan="off", log_config=None)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main())
