"""Everything one person sees at one place in the workspace, ready for the templates. Reads it, changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import urlencode

from markupsafe import Markup

from bot.sandbox.page.blocks import Blocks, Form, Templates
from bot.sandbox.page.dates import Reader, moment_of
from bot.sandbox.page.mrkdwn import Mrkdwn, Names
from bot.sandbox.page.unread import Unread
from bot.sandbox.slack.records import Channel, Message, OpenView, Person
from bot.sandbox.slack.state import SLACKBOT
from bot.sandbox.slack.workspace import Workspace

Json = Mapping[str, Any]
SAME_BREATH_SECONDS = 300  # messages of one author this close together share one heading
SHOWN = 200  # messages of a conversation: each change draws them all
HUES = 8
WINDS = (
    (60, "+1 min", "1 minute"),
    (3600, "+1 h", "1 hour"),
    (86400, "+1 day", "1 day"),
    (2592000, "+30 days", "30 days"),
)


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    description: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Shortcut:
    callback_id: str
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Face:
    id: str
    name: str
    role: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the sidebar."""

    id: str
    label: str
    kind: Literal["public", "private", "app", "person"]
    href: str = ""
    unread: int = 0
    current: bool = False
    face: str = ""
    members: int = 0

    @property
    def spoken(self) -> str:
        return f"#{self.label}" if self.kind in ("public", "private") else self.label


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Tab:
    label: str
    href: str
    current: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A message, or the line between two days (``day``)."""

    key: str
    day: str = ""
    ts: str = ""
    author_id: str = ""
    author: str = ""
    app: bool = False
    follows: bool = False
    ephemeral: bool = False
    edited: bool = False
    time: str = ""
    short_time: str = ""
    full_time: str = ""
    iso: str = ""
    html: Markup = field(default_factory=Markup)


@dataclass(frozen=True, slots=True)
class Surface:
    """A modal or an App Home."""

    id: str
    html: Markup
    hash: str = ""
    title: str = ""
    submit: str = ""
    close: str = ""
    notice: str = ""
    previous_id: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Who looks, and where: the address of the page."""

    user: str
    channel: str
    tab: str = "messages"

    def href(self, **other: str) -> str:
        moved = {"as": self.user, "in": self.channel, "tab": self.tab} | other
        return "?" + urlencode({name: value for name, value in moved.items() if (name, value) != ("tab", "messages")})


def both(left: Place, right: Place) -> str:
    """The address of the page that shows two places next to each other."""
    return "both?" + urlencode({"left": left.href(), "right": right.href()})


@dataclass(frozen=True, slots=True)
class Scene:
    viewer: Person
    tab: str
    title: str
    workspace_name: str
    place: Line
    faces: Sequence[Face]
    beside: str  # the address that shows somebody else next to the viewer; empty where there is nobody else
    groups: Sequence[Group]
    tabs: Sequence[Tab]
    rows: Sequence[Row]
    shown: int  # how many messages these are, where there are more
    welcome: str
    home: Surface | None
    modal: Surface | None
    closed: str  # why nothing can be written here; empty when it can
    commands: Sequence[Command]
    shortcuts: Sequence[Shortcut]
    message_shortcuts: Sequence[Shortcut]
    languages: Sequence[tuple[str, str]]
    hues: Mapping[str, int]  # the colour of each person's picture
    ahead: int
    connected: bool
    winds: Sequence[tuple[int, str, str]] = WINDS


class Stage:
    """Looks at the workspace through one person's eyes."""

    def __init__(
        self,
        workspace: Workspace,
        templates: Templates,
        unread: Unread,
        roles: Mapping[str, str],
        languages: Sequence[tuple[str, str]],
    ) -> None:
        self._workspace = workspace
        self._templates = templates
        self._unread = unread
        self._roles = roles
        self._offered = languages

    def people(self) -> list[Person]:
        """Those whom the switch offers, in the order they joined: who has a role, or everybody where nobody has."""
        present = [person for person in self._workspace.people.values() if not person.is_bot and not person.deleted]
        return [person for person in present if person.id in self._roles or not self._roles]

    def names(self) -> dict[str, str]:
        """What everybody is called, by user id."""
        return {person.id: _name(person) for person in self._workspace.people.values()} | {SLACKBOT: "Slackbot"}

    def place(self, user: str, channel: str, tab: str) -> Place:
        """The place that an address means; where it means none, the first person's first channel."""
        people = {person.id for person in self.people()}
        viewer = user if user in people else self.people()[0].id
        lines = [line.id for group in self._groups(Place(viewer, "")) for line in group.lines]
        found = channel if channel in lines else lines[0]
        at_app = found == self._workspace.dm(viewer)
        return Place(viewer, found, tab if at_app and tab == "home" and self._workspace.home_enabled else "messages")

    def scene(self, place: Place, ahead: float) -> Scene:
        viewer = self._workspace.person(place.user)
        blocks, mrkdwn = self._drawing(viewer)
        groups = self._groups(place)
        here = next(line for group in groups for line in group.lines if line.current)
        at_home = place.tab == "home"
        messages = self._workspace.messages(place.channel, place.user)
        return Scene(
            viewer=viewer,
            tab=place.tab,
            title=here.spoken,
            workspace_name=self._workspace.team_name,
            place=here,
            faces=[self._face(person, place) for person in self.people()],
            beside=self._beside(place),
            groups=groups,
            tabs=self._tabs(place) if here.kind == "app" else (),
            rows=() if at_home else self._rows(messages[-SHOWN:], blocks, mrkdwn),
            shown=SHOWN if len(messages) > SHOWN else 0,
            welcome=self._welcome(here),
            home=self._home(place, blocks) if at_home else None,
            modal=self._modal(place, blocks),
            closed=self._closed(place, here),
            commands=_commands(self._workspace.commands or {}),
            shortcuts=_shortcuts(self._workspace.shortcuts or {}, "global"),
            message_shortcuts=_shortcuts(self._workspace.shortcuts or {}, "message"),
            languages=self._languages(viewer),
            hues={id: number % HUES for number, id in enumerate(self.names())},
            ahead=round(ahead),
            connected=self._workspace.connected,
        )

    def reader(self, user: str) -> Reader:
        """How this person reads times."""
        viewer = self._workspace.person(user)
        return Reader(self._workspace.clock.now(), viewer.tz, viewer.locale)

    def _drawing(self, viewer: Person) -> tuple[Blocks, Mrkdwn]:
        channels = {channel.id: channel.name for channel in self._workspace.channels.values() if not channel.im_with}
        mrkdwn = Mrkdwn(Names(self.names(), channels), self.reader(viewer.id))
        return Blocks(self._templates, mrkdwn), mrkdwn

    def _languages(self, viewer: Person) -> Sequence[tuple[str, str]]:
        known = dict(self._offered)
        known.setdefault(viewer.locale, viewer.locale)
        return [*known.items()]

    def _face(self, person: Person, place: Place) -> Face:
        href = self._there(person, place).href()
        return Face(person.id, _name(person), self._role(person), href, person.id == place.user)

    def _there(self, person: Person, place: Place) -> Place:
        """The same place with somebody else's eyes; of a conversation with the app, their own."""
        at_app = self._workspace.channel(place.channel).im_with
        return Place(person.id, self._workspace.dm(person.id) if at_app else place.channel, place.tab)

    def _beside(self, place: Place) -> str:
        """The viewer here, and next to them the first who plays another part."""
        viewer = self._workspace.person(place.user)
        others = [person for person in self.people() if self._role(person) != self._role(viewer)]
        return both(place, self._there(others[0], place)) if others else ""

    def _role(self, person: Person) -> str:
        guest = person.is_restricted or person.is_ultra_restricted
        role = self._roles.get(person.id) or ("guest" if guest else "member")
        return role[:1].upper() + role[1:]

    # --- the sidebar

    def _groups(self, place: Place) -> Sequence[Group]:
        app = self._line(self._workspace.channel(self._workspace.dm(place.user)), place)
        others = [self._line(channel, place) for channel in self._workspace.channels.values() if channel.id != app.id]
        mine = [line for line in others if place.user in self._workspace.channel(line.id).members]
        rooms = [line for line in mine if line.kind in ("public", "private")]
        direct = [line for line in mine if line.kind == "person"]
        named = (("Channels", rooms), ("Direct messages", direct), ("Apps", [app]))
        return [Group(name, lines) for name, lines in named if lines]

    def _line(self, channel: Channel, place: Place) -> Line:
        label, kind, face = self._label(channel)
        here = channel.id == place.channel
        unread = 0 if here else self._unread.count(place.user, self._workspace.messages(channel.id, place.user))
        href = Place(place.user, channel.id).href()
        members = 0 if channel.im_with else len(channel.members)
        return Line(channel.id, label, kind, href, unread, here, face, members)

    def _label(self, channel: Channel) -> tuple[str, Literal["public", "private", "app", "person"], str]:
        if not channel.im_with:
            return channel.name, "private" if channel.private else "public", ""
        if self._workspace.bot_user_id in channel.members:
            return self._workspace.bot_name, "app", self._workspace.bot_user_id
        return "Slackbot", "person", SLACKBOT

    def _tabs(self, place: Place) -> Sequence[Tab]:
        names = ("Home", "Messages") if self._workspace.home_enabled else ("Messages",)
        return [Tab(name, place.href(tab=name.lower()), place.tab == name.lower()) for name in names]

    def _welcome(self, here: Line) -> str:
        if here.kind == "app":
            return f"This is your conversation with {here.label}. Only the two of you can see it."
        if here.kind == "person":
            return f"This is your conversation with {here.label}."
        return f"This is the very beginning of #{here.label}. Say something, or type / for a command."

    def _closed(self, place: Place, here: Line) -> str:
        channel = self._workspace.channel(place.channel)
        if channel.archived:
            return "This channel has been archived."
        if here.kind == "person" or (here.kind == "app" and not self._workspace.dm_writable):
            return f"Sending messages to {here.label} has been turned off."
        return "" if place.user in channel.members else "You are not a member of this channel."

    # --- the conversation

    def _rows(self, messages: Sequence[Message], blocks: Blocks, mrkdwn: Mrkdwn) -> Sequence[Row]:
        reader = mrkdwn.reader
        rows: list[Row] = []
        before: Message | None = None
        for message in messages:
            moment = moment_of(message.ts)
            if before is None or _day(reader, before) != _day(reader, message):
                rows.append(Row(f"{_day(reader, message):%Y-%m-%d}", day=reader.day(moment)))
                before = None
            html = self._content(message, blocks)
            rows.append(self._row(message, reader, follows=_follows(before, message), html=html))
            before = message
        return rows

    def _row(self, message: Message, reader: Reader, *, follows: bool, html: Markup) -> Row:
        moment = moment_of(message.ts)
        time = reader.time(moment)
        return Row(
            key=message.ts,
            ts=message.ts,
            author_id=message.user,
            author=self._author(message),
            app=message.by_bot,
            follows=follows,
            ephemeral=message.ephemeral_to is not None,
            edited=message.edited,
            time=time,
            short_time=time.removesuffix(" AM").removesuffix(" PM"),
            full_time=f"{reader.day(moment)} at {reader.time(moment, seconds=True)}",
            iso=moment.isoformat(),
            html=html,
        )

    def _author(self, message: Message) -> str:
        return self.names()[message.user]

    def _content(self, message: Message, blocks: Blocks) -> Markup:
        return self._templates.render(
            "message",
            blocks=blocks(message.blocks, key=message.ts) if message.blocks else "",
            text=blocks.text({"type": "mrkdwn", "text": message.text}),
            attachments=[_attachment(part, blocks, message.ts) for part in message.attachments],
            files=message.files,
        )

    # --- views

    def _home(self, place: Place, blocks: Blocks) -> Surface | None:
        home = self._workspace.home(place.user)
        if home is None:
            return None
        return Surface(home.id, blocks(home.blocks, Form(home.state), key=home.id))

    def _modal(self, place: Place, blocks: Blocks) -> Surface | None:
        modal = self._workspace.modal(place.user)
        return None if modal is None else _surface(modal, blocks)


def _surface(modal: OpenView, blocks: Blocks) -> Surface:
    return Surface(
        id=modal.id,
        html=blocks(modal.blocks, Form(modal.state, modal.errors), key=modal.id),
        hash=modal.hash,
        title=blocks.words(modal.view.get("title")),
        submit=blocks.words(modal.view.get("submit")),
        close=blocks.words(modal.view.get("close")) or ("Cancel" if modal.view.get("submit") else "Close"),
        notice=modal.notice,
        previous_id=modal.previous_id or "",
    )


def _attachment(part: Json, blocks: Blocks, key: str) -> Json:
    texts = {name: blocks.text({"type": "mrkdwn", "text": part.get(name, "")}) for name in ("pretext", "title", "text")}
    return {**texts, "blocks": blocks(part["blocks"], key=key) if part.get("blocks") else ""}


def _follows(before: Message | None, message: Message) -> bool:
    """Whether the message goes under the heading of the one before it."""
    if before is None or before.user != message.user or before.ephemeral_to != message.ephemeral_to:
        return False
    return (moment_of(message.ts) - moment_of(before.ts)).total_seconds() < SAME_BREATH_SECONDS


def _day(reader: Reader, message: Message) -> datetime:
    return reader.local(moment_of(message.ts)).replace(hour=0, minute=0, second=0, microsecond=0)


def _name(person: Person) -> str:
    return person.real_name or person.name


def _commands(known: Mapping[str, Json]) -> Sequence[Command]:
    return [Command(name, each.get("description", ""), each.get("usage_hint", "")) for name, each in known.items()]


def _shortcuts(known: Mapping[str, Json], kind: str) -> Sequence[Shortcut]:
    of_kind = [(id, each) for id, each in known.items() if each.get("type") == kind]
    return [Shortcut(id, each.get("name", id), each.get("description", "")) for id, each in of_kind]
