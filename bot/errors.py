"""What can go wrong, by who must act: a rule said no, somebody else's service failed, or we have a bug."""

from typing import ClassVar


class Refusal(Exception):
    """A rule said no. Carries the key of a sentence and its facts, never the sentence itself."""

    key: str
    field: ClassVar[str | None] = None  # the form field that the sentence belongs to, if any

    def __init__(self, **facts: object) -> None:
        super().__init__(self.key, facts)
        self.facts = facts
        self.ask_for: str | None = None  # what an owner could be asked for instead, as it was typed


class Unusable(Exception):
    """The settings, the database or this machine do not let the program do it. Says what to do about it."""


class Outage(Exception):
    """Somebody else's service did not answer, or failed. What became of the request is unknown."""

    def __init__(self, service: str, reason: str, *, request_id: str | None = None) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason
        self.request_id = request_id
