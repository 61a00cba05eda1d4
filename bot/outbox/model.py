"""The rules of the outbox: what a message is, how long to wait, and what to do when Slack refuses one."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

LEASE = timedelta(seconds=30)
"""How long a claimed row belongs to whoever claimed it."""

SENDING_SECONDS = 15.0
"""From claiming a row to its last call to Slack. With the call itself, of 10 s at most, this stays within the lease."""

LONGEST_WAIT = timedelta(minutes=5)
"""No row is put off for longer; one that seems to be for twice as long was written before the clock was set back."""

POST_INTERVAL_SECONDS = 1.0
"""Between two posts in one place; Slack takes about one a second. Edits have a far larger allowance."""

SKEW = timedelta(minutes=5)
"""How much our clock and Slack's may differ when a lost post is looked for."""

MOST_PLAIN_TEXT = 4_000
"""Characters that Slack takes in an edit without blocks."""

Blocks = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class User:
    """In the conversation between this user and the bot."""

    id: str


@dataclass(frozen=True, slots=True)
class Channel:
    """In this channel."""

    id: str


@dataclass(frozen=True, slots=True)
class Message:
    """A message that ought to exist and look like this. The same ``key`` is the same message, for ever.

    ``text`` carries the whole fact: it is what a phone's notification shows, and all that is sent when Slack refuses
    the blocks.
    """

    key: str
    to: User | Channel
    text: str
    blocks: Blocks


@dataclass(frozen=True, slots=True)
class Owed:
    """A row that this process has claimed, until ``lease_until``."""

    key: str
    user_id: str | None
    channel: str | None
    ts: str | None
    text: str
    blocks: Blocks
    version: int
    posting_since: datetime | None
    attempts: int
    lease_until: datetime

    @property
    def place(self) -> str:
        """Where it goes, by a name that does not change when the user's conversation becomes known."""
        return self.user_id or self.channel or ""

    @property
    def plain(self) -> str:
        """The text, cut to what Slack takes without blocks."""
        whole = len(self.text) <= MOST_PLAIN_TEXT
        return self.text if whole else f"{self.text[: MOST_PLAIN_TEXT - 1]}…"


def backoff(attempts: int, jitter: float) -> timedelta:
    """How long to wait after so many failures: 1 s, doubling to 5 minutes. ``jitter``, 0 to 1, takes up to half off."""
    seconds = min(2.0 ** min(attempts, 30), LONGEST_WAIT.total_seconds())
    return timedelta(seconds=seconds * (1 - jitter / 2))


class Remedy(Enum):
    """What to do about a refusal."""

    BURY = auto()  # nobody will ever read it there
    PLAIN = auto()  # send the text without its blocks
    ANEW = auto()  # the message cannot be edited any more: post it again
    LATER = auto()  # we do not know this one: try again, for as long as it takes


TOKEN_REFUSED = frozenset(
    {
        "account_inactive",
        "invalid_auth",
        "missing_scope",
        "no_permission",
        "not_allowed_token_type",
        "not_authed",
        "org_login_required",
        "token_expired",
        "token_revoked",
    }
)
"""The bot itself is not let in. Somebody mends that with a new token or scope and starts the bot again."""

_PLACE_GONE = frozenset(
    {
        "access_denied",
        "cannot_dm_bot",
        "channel_is_limited_access",
        "channel_not_found",
        "ekm_access_denied",
        "enterprise_is_restricted",
        "invalid_user_combination",
        "is_archived",
        "messages_tab_disabled",
        "method_not_supported_for_channel_type",
        "not_in_channel",
        "restricted_action",
        "restricted_action_non_threadable_channel",
        "restricted_action_read_only_channel",
        "restricted_action_thread_only_channel",
        "team_access_not_granted",
        "team_not_found",
        "user_disabled",
        "user_not_found",
        "user_not_visible",
        "users_not_found",
    }
)
_UNREADABLE = frozenset(
    {"block_mismatch", "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"}
)
_FROZEN = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})

_REMEDIES = {
    **dict.fromkeys(TOKEN_REFUSED | _PLACE_GONE, Remedy.BURY),
    **dict.fromkeys(_UNREADABLE, Remedy.PLAIN),
    **dict.fromkeys(_FROZEN, Remedy.ANEW),
}


def remedy(error: str) -> Remedy:
    """What to do when Slack refuses with this code."""
    return _REMEDIES.get(error, Remedy.LATER)
