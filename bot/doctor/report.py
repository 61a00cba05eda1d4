"""What the doctor found, and how it is told to people and to programs."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

_SHOWN: Final = 5


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    BLOCKING = "blocking"  # nothing can be sold like this
    SKIPPED = "skipped"  # could not be looked at


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. Where something is wrong, ``why`` it matters and what will ``mend`` it."""

    name: str
    level: Level
    found: str
    why: str = ""
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was looked at."""

    findings: Sequence[Finding]

    @property
    def blocked(self) -> bool:
        return any(finding.level is Level.BLOCKING for finding in self.findings)

    @property
    def exit_code(self) -> int:
        return 1 if self.blocked else 0

    def as_json(self) -> str:
        return json.dumps({"ok": not self.blocked, "findings": [asdict(one) for one in self.findings]}, indent=2)

    def as_text(self) -> str:
        levels = [finding.level for finding in self.findings]
        blocking, warnings = levels.count(Level.BLOCKING), levels.count(Level.WARNING)
        total = f"{count(blocking, 'thing')} to mend before the bot can sell, {count(warnings, 'warning')}."
        return "\n".join([*map(_lines, self.findings), "", total])


def ok(name: str, found: str) -> Finding:
    return Finding(name, Level.OK, found)


def warning(name: str, found: str, why: str, mend: str) -> Finding:
    return Finding(name, Level.WARNING, found, why, mend)


def blocking(name: str, found: str, why: str, mend: str) -> Finding:
    return Finding(name, Level.BLOCKING, found, why, mend)


def skipped(name: str, reason: str) -> Finding:
    return Finding(name, Level.SKIPPED, f"not looked at: {reason}")


def some(things: Sequence[str]) -> str:
    """The first few of them, and how many there are beside."""
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return "; ".join(things[:_SHOWN]) + more


def count(n: int, thing: str, things: str | None = None) -> str:
    return f"{n} {thing if n == 1 else things or f'{thing}s'}"


def _lines(finding: Finding) -> str:
    advice = {"why": finding.why, "mend": finding.mend}
    first = f"{finding.level.upper():<9} {finding.name.replace('_', ' ')}: {finding.found}"
    return "\n".join([first, *(f"{'':<9}   {name}: {said}" for name, said in advice.items() if said)])
