"""How fast each place may be spoken to. Durations only, so a wall clock that jumps changes nothing."""

from bot.clock import Clock
from bot.outbox.model import POST_INTERVAL_SECONDS


class Pace:
    """Forgets when the process ends: then Slack says once more that it is too fast."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._next_post: dict[str, float] = {}
        self._silent_until: dict[str, float] = {}

    async def turn(self, place: str) -> None:
        """Wait until a post may go there, and take that turn."""
        wait = self._next_post.get(place, 0.0) - self._clock.monotonic()
        if wait > 0:
            await self._clock.sleep(wait)
        now = self._clock.monotonic()
        self._next_post = {other: at for other, at in self._next_post.items() if at > now}
        self._next_post[place] = now + POST_INTERVAL_SECONDS

    def pause(self, place: str, seconds: float) -> None:
        """Say nothing there for so long."""
        self._silent_until[place] = self._clock.monotonic() + seconds

    def silent(self) -> set[str]:
        """The places that nothing may be said to now."""
        now = self._clock.monotonic()
        self._silent_until = {place: until for place, until in self._silent_until.items() if until > now}
        return set(self._silent_until)
