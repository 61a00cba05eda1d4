"""Who has read how far in which conversation."""

from collections.abc import Sequence

from bot.sandbox.slack.records import Message


class Unread:
    def __init__(self) -> None:
        self._read: dict[tuple[str, str], str] = {}

    def count(self, user: str, messages: Sequence[Message]) -> int:
        """How many of these messages of one conversation are new to this person."""
        return sum(message.user != user and message.ts > self._upto(user, message.channel) for message in messages)

    def seen(self, user: str, messages: Sequence[Message]) -> None:
        """The person has the conversation open: nothing in it is new any more."""
        if messages:
            self._read[user, messages[-1].channel] = messages[-1].ts

    def _upto(self, user: str, channel: str) -> str:
        return self._read.get((user, channel), "")
