"""Socket Mode: the bot holds WebSockets open to Slack; each payload goes down one of them and is acknowledged."""

import asyncio
import contextlib
import json
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.sandbox.slack.records import Delivery, Json
from bot.sandbox.slack.state import State

MOST_CONNECTIONS = 10
CLOSE_AFTER_REFRESH_SECONDS = 1.0
RECONNECT_SECONDS = 0.5


class NoAnswer(Exception):
    """The bot could not be reached or said something useless. ``code`` is what Slack calls it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(eq=False)
class Link:
    """One open connection. A retiring one gets no new payloads but may still acknowledge old ones."""

    socket: WebSocket
    retiring: bool = False


class Sockets:
    def __init__(self, state: State) -> None:
        self._state = state
        self._tickets: set[str] = set()
        self._links: list[Link] = []
        self._waiting: dict[str, asyncio.Future[Json]] = {}
        self._turn = 0
        self._chores: set[asyncio.Task[None]] = set()

    @property
    def connections(self) -> int:
        """How many connections would get a payload now."""
        return len(self._ready())

    def _ready(self) -> list[Link]:
        return [link for link in self._links if not link.retiring]

    def new_ticket(self) -> str:
        ticket = uuid.uuid4().hex
        self._tickets.add(ticket)
        return ticket

    # --- one connection

    async def serve(self, socket: WebSocket) -> None:
        ticket = socket.path_params["ticket"]
        if ticket not in self._tickets:
            await socket.close(4404)
            return
        self._tickets.discard(ticket)
        await socket.accept()
        if len(self._links) >= MOST_CONNECTIONS:
            await socket.send_json(self._disconnect("too_many_websockets"))
            await socket.close()
            return
        link = Link(socket)
        self._links.append(link)
        self._state.feed.publish("sockets", open=self.connections)
        try:
            await socket.send_json(self._hello())
            async for text in socket.iter_text():
                self._hear(text)
        except (WebSocketDisconnect, RuntimeError):
            pass  # Starlette raises either, depending on who noticed first that the line is dead
        finally:
            self._links.remove(link)
            self._state.feed.publish("sockets", open=self.connections)
            self._chore(self._give_up_if_alone())

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": self.connections,
            "debug_info": {"host": "sandbox", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._state.app_id},
        }

    def _disconnect(self, reason: str) -> Json:
        return {"type": "disconnect", "reason": reason, "debug_info": {"host": "sandbox"}}

    def _hear(self, text: str) -> None:
        """An acknowledgement may come on any connection, as the client may have changed it meanwhile."""
        with contextlib.suppress(json.JSONDecodeError):
            answer = json.loads(text)
            waiting = self._waiting.get(answer.get("envelope_id", "")) if isinstance(answer, dict) else None
            if waiting and not waiting.done():
                waiting.set_result(answer.get("payload") or {})

    async def _give_up_if_alone(self) -> None:
        """When the last line is dead and no new one comes, nobody can acknowledge what is still out."""
        await asyncio.sleep(RECONNECT_SECONDS)
        if not self._links:
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(NoAnswer("dispatch_failed"))

    def _chore(self, coroutine: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # --- sending

    async def carry(self, delivery: Delivery, retry_reason: str = "") -> Json:
        """Send down one connection, a different one each time, and wait for the acknowledgement."""
        ready = self._ready()
        if not ready:
            raise NoAnswer("dispatch_failed")
        self._turn += 1
        link = ready[self._turn % len(ready)]
        envelope_id = str(uuid.uuid4())
        waiting = self._waiting[envelope_id] = asyncio.get_running_loop().create_future()
        try:
            await self._send(link, self._envelope(envelope_id, delivery, retry_reason))
            answer = await waiting
        finally:
            del self._waiting[envelope_id]
        return answer if delivery.wants_answer else {}

    async def _send(self, link: Link, envelope: Json) -> None:
        try:
            await link.socket.send_json(envelope)
        except (WebSocketDisconnect, RuntimeError) as lost:
            raise NoAnswer("dispatch_failed") from lost

    def _envelope(self, envelope_id: str, delivery: Delivery, retry_reason: str) -> Json:
        envelope: Json = {
            "envelope_id": envelope_id,
            "type": delivery.kind,
            "accepts_response_payload": delivery.wants_answer,
            "payload": delivery.payload,
        }
        if delivery.kind == "events_api":
            envelope |= {"retry_attempt": delivery.attempts - 1, "retry_reason": retry_reason}
        return envelope

    # --- trouble on demand

    async def refresh(self) -> None:
        """Ask every client for a new connection, as Slack does every few hours; the old ones close a little later."""
        for link in self._ready():
            link.retiring = True
            await self._send(link, self._disconnect("refresh_requested"))
            self._chore(self._close_later(link))

    async def _close_later(self, link: Link) -> None:
        await asyncio.sleep(CLOSE_AFTER_REFRESH_SECONDS)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await link.socket.close(1001)

    async def cut(self) -> None:
        """Close every connection without warning."""
        for link in list(self._links):
            link.retiring = True
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await link.socket.close(1011)

    async def close(self) -> None:
        for chore in list(self._chores):
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
