"""Slack's speed limit for posting: about one message a second in a channel, and a small burst."""

from bot.clock import Clock
from bot.sandbox.slack.state import SlackError

BURST = 3
PER_SECOND = 1.0


class Pace:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}  # channel -> (messages left, when that was counted)

    def spend(self, channel: str) -> None:
        """Take one message from the channel's allowance, or refuse with the seconds to wait."""
        now = self._clock.monotonic()
        left, counted = self._left.get(channel, (BURST, now))
        left = min(BURST, left + (now - counted) * PER_SECOND)
        if left < 1:
            raise SlackError("ratelimited", retry_after=1)
        self._left[channel] = (left - 1, now)
