"""The code of the bot as trees, each module parsed once."""

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T", bound=ast.AST)

BOT = Path(__file__).parents[1] / "bot"
MODULES = sorted(BOT.rglob("*.py"))
SHIPPED = [file for file in MODULES if "sandbox" not in file.parts]  # the bot itself, without the world to try it in


def nodes(kind: type[T], files: Sequence[Path] = MODULES) -> Iterator[tuple[Path, T]]:
    """Each node of this kind and the file in which it stands."""
    for file in files:
        yield from ((file, node) for node in tree(file) if isinstance(node, kind))


@cache
def tree(file: Path) -> list[Any]:
    """All nodes of a module, itself the first."""
    return list(ast.walk(ast.parse(file.read_text())))
